//! What a verification costs: the plain `argon2` crate, our arena, SIMD, and the C reference.
//!
//! First prints a comparison whose contenders take turns, so that a noisy machine is noisy for
//! all; then runs Criterion. Times are processor time per hash, page faults included.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![expect(clippy::print_stdout, reason = "it prints its results")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, Version};
use criterion::{BenchmarkId, Criterion};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use portcullis_core::Argon2idHasher;
use portcullis_core::password::{
    Arena, Argon2Params, PasswordHash, PasswordHasher, Verdict, Wiping,
};

const PASSWORD: &str = "correct horse battery staple";
const SALT: &str = "0123456789abcdef";
const ROUNDS: usize = 40;
const THREADS: [usize; 3] = [1, 2, 4];

fn main() {
    let asked = |flag: &str| std::env::args().any(|arg| arg == flag);
    if asked("--bench") && !asked("--test") {
        let standard = Argon2Params::default();
        // More than glibc's malloc ever keeps for the next: 32 MiB.
        let owasp_largest = Argon2Params::new(47_104, 1, 1).unwrap();
        let fastapi = Argon2Params::new(65_536, 3, 4).unwrap();
        for threads in THREADS {
            compare(standard, threads, ROUNDS);
        }
        for threads in THREADS {
            compare(owasp_largest, threads, ROUNDS / 2);
        }
        compare(fastapi, 1, ROUNDS / 4);
    }
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion);
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion) {
    for threads in THREADS {
        let mut group = criterion.benchmark_group(format!("argon2/{threads} threads"));
        group.sample_size(20);
        for contender in ours(Argon2Params::default()) {
            let team = Team::new(&contender, threads);
            group.bench_function(BenchmarkId::from_parameter(contender.name), |bencher| {
                bencher.iter_custom(|hashes| (0..hashes).map(|_| team.turn().time).sum());
            });
        }
        group.finish();
    }
}

/// Prints the time of each contender, the best and the middle of `rounds`, and how much faster
/// than the plain crate it was in the middle one of its turns.
fn compare(params: Argon2Params, threads: usize, rounds: usize) {
    let mut contenders = ours(params);
    contenders.extend(simd_avx2(params));
    for (name, march) in [("C", "native"), ("C, AVX2", "x86-64-v3")] {
        match reference(name, march, params) {
            Ok(reference) => contenders.push(reference),
            Err(reason) => println!("{name} is left out: {reason}"),
        }
    }
    let teams: Vec<_> = contenders
        .iter()
        .map(|contender| Team::new(contender, threads))
        .collect();
    let mut costs = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for (team, costs) in teams.iter().zip(&mut costs) {
            costs.push(team.turn());
        }
    }
    println!(
        "\n{params}, {threads} threads: ms per hash, best and median of {rounds}; times faster than \
         plain, median; page faults per hash, median; heap allocations of one hash"
    );
    for (contender, own) in contenders.iter().zip(&costs) {
        let ms = |cost: &Cost| cost.time.as_secs_f64() * 1e3;
        let ratios = costs[0]
            .iter()
            .zip(own)
            .map(|(plain, own)| ms(plain) / ms(own));
        let mut worker = contender.worker();
        let heap = allocation_counter::measure(|| {
            worker();
        });
        println!(
            "{:12} {:7.2} {:7.2} {:6.2}x {:7} faults {:3} allocations of {} bytes",
            contender.name,
            own.iter().map(ms).fold(f64::INFINITY, f64::min),
            median(own.iter().map(ms)),
            median(ratios),
            median(own.iter().map(|cost| cost.faults as f64)),
            heap.count_total,
            heap.bytes_total,
        );
    }
}

/// Threads that hash at the same time, and stay, as those of a pool do.
struct Team {
    members: Vec<(Sender<()>, Receiver<Cost>)>,
}

impl Team {
    fn new(contender: &Contender, threads: usize) -> Self {
        let member = |_| {
            let mut worker = contender.worker();
            let (start, started) = mpsc::channel();
            let (end, ended) = mpsc::channel();
            thread::spawn(move || {
                worker();
                for () in started {
                    end.send(worker()).unwrap();
                }
            });
            (start, ended)
        };
        Self {
            members: (0..threads).map(member).collect(),
        }
    }

    /// Lets each hash once; the mean of what it cost them.
    fn turn(&self) -> Cost {
        for (start, _) in &self.members {
            start.send(()).unwrap();
        }
        let costs: Vec<Cost> = self
            .members
            .iter()
            .map(|(_, end)| end.recv().unwrap())
            .collect();
        Cost {
            time: costs.iter().map(|cost| cost.time).sum::<Duration>()
                / u32::try_from(costs.len()).unwrap(),
            faults: costs.iter().map(|cost| cost.faults).sum::<i64>()
                / i64::try_from(costs.len()).unwrap(),
        }
    }
}

/// What one hash took from the machine.
#[derive(Clone)]
struct Cost {
    /// Of the processor, in user code and for page faults.
    time: Duration,
    faults: i64,
}

impl Cost {
    fn of(work: impl FnOnce()) -> Self {
        let time = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        let faults = || getrusage(WHO).unwrap().minor_page_faults();
        let (time_before, faults_before) = (time(), faults());
        work();
        Self {
            time: (time() - time_before).into(),
            faults: faults() - faults_before,
        }
    }
}

#[cfg(target_os = "linux")]
const WHO: UsageWho = UsageWho::RUSAGE_THREAD;
#[cfg(not(target_os = "linux"))]
const WHO: UsageWho = UsageWho::RUSAGE_SELF;

/// Verifies one password, its state kept for the next, and says what that cost.
type Worker = Box<dyn FnMut() -> Cost + Send>;

struct Contender {
    name: &'static str,
    worker: Box<dyn Fn() -> Worker>,
}

impl Contender {
    fn new(name: &'static str, worker: impl Fn() -> Box<dyn FnMut() + Send> + 'static) -> Self {
        let worker = move || -> Worker {
            let mut verify = worker();
            Box::new(move || Cost::of(&mut verify))
        };
        Self {
            name,
            worker: Box::new(worker),
        }
    }

    /// A worker that is warm.
    fn worker(&self) -> Worker {
        let mut worker = (self.worker)();
        worker();
        worker
    }
}

fn ours(params: Argon2Params) -> Vec<Contender> {
    let hasher = Argon2idHasher::new(params);
    let unwiped = hasher.clone().with_wiping(Wiping::Never);
    let simd = hasher.clone().with_simd().unwrap();
    let mut contenders = vec![plain(params)];
    for (name, hasher) in [("arena", hasher), ("not wiped", unwiped), ("simd", simd)] {
        contenders.push(pooled(name, params, hasher));
    }
    contenders
}

fn plain(params: Argon2Params) -> Contender {
    let tag = tag(params);
    Contender::new("plain", move || {
        Box::new(move || assert_eq!(self::tag(params), tag))
    })
}

fn pooled(name: &'static str, params: Argon2Params, hasher: Argon2idHasher) -> Contender {
    let hash = PasswordHash::new(
        phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: phc::ParamsString::try_from(&to_argon2(params)).unwrap(),
            salt: Some(phc::Salt::new(SALT.as_bytes()).unwrap()),
            hash: Some(phc::Output::new(&tag(params)).unwrap()),
        }
        .to_string(),
    );
    Contender::new(name, move || {
        let (hasher, hash, mut arena) = (hasher.clone(), hash.clone(), Arena::new());
        Box::new(move || {
            let verdict = hasher.verify(PASSWORD.as_bytes(), &hash, &mut arena);
            assert_eq!(verdict.unwrap(), Verdict::Match);
        })
    })
}

/// What `simd` takes on a processor without AVX-512, put together of the same parts.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the crate's safe code chooses the instructions")]
fn simd_avx2(params: Argon2Params) -> Option<Contender> {
    use argon2_rust::__internal::{
        Backend, Instance, Workspace, fill_first_blocks, fill_memory_blocks_traced, finalize,
        initial_hash,
    };
    use argon2_rust::params::Memory;
    use argon2_rust::{Algorithm, Params, Version};

    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let tag = tag(params);
    let params = Params::builder()
        .memory(Memory::kib(params.memory_kib().into()))
        .passes(params.iterations())
        .lanes(params.lanes())
        .threads(1)
        .build()
        .unwrap();
    let (blocks, _, lane_length) = params.memory_layout();
    let (password, salt) = (PASSWORD.as_bytes(), SALT.as_bytes());
    let hash = move |workspace: &mut Workspace| {
        let hash = initial_hash(algorithm, version, &params, password, salt, &[], &[]);
        let mut arena = workspace.acquire(blocks as usize).unwrap();
        let lanes = params.lanes();
        fill_first_blocks(&mut hash.unwrap(), arena.as_mut_slice(), lanes, lane_length).unwrap();
        let (memory, len) = (arena.as_mut_ptr(), arena.len());
        // SAFETY: the memory is `params.memory_layout()` blocks, as acquired, and outlives this.
        let instance = unsafe { Instance::new(memory, len, algorithm, version, &params) };
        // SAFETY: nobody else has the memory; the processor has AVX2, or this would not be called.
        unsafe { fill_memory_blocks_traced(&instance, Backend::Avx2, None) }.unwrap();
        let mut answer = [0; 32];
        finalize(&instance, &mut answer).unwrap();
        assert_eq!(answer, tag);
    };
    Backend::Avx2.is_available().then(|| {
        Contender::new("simd, AVX2", move || {
            let mut workspace = Workspace::new();
            Box::new(move || hash(&mut workspace))
        })
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn simd_avx2(_: Argon2Params) -> Option<Contender> {
    None
}

/// The C reference implementation built for `march`, in a process of its own that measures itself.
#[expect(
    clippy::zombie_processes,
    reason = "they end when their input does, with this process"
)]
fn reference(
    name: &'static str,
    march: &'static str,
    params: Argon2Params,
) -> Result<Contender, String> {
    let directory = concat!(env!("CARGO_TARGET_TMPDIR"), "/argon2-reference");
    let build = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/argon2/reference.sh"))
        .args([directory, march])
        .output()
        .map_err(|error| error.to_string())?;
    if !build.status.success() {
        return Err(String::from_utf8_lossy(&build.stderr).into_owned());
    }
    let tag: String = tag(params)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let worker = move || -> Worker {
        let cost = [params.memory_kib(), params.iterations(), params.lanes()];
        let child = Command::new(format!("{directory}/reference-{march}"))
            .args(cost.map(|number| number.to_string()))
            .arg(SALT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut passwords, answers) = (child.stdin.unwrap(), child.stdout.unwrap());
        let mut answers = BufReader::new(answers).lines();
        let tag = tag.clone();
        Box::new(move || {
            writeln!(passwords, "{PASSWORD}").unwrap();
            let answer = answers.next().unwrap().unwrap();
            let mut words = answer.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap();
            let (nanoseconds, faults, answer) = (word(), word(), word());
            assert_eq!(answer, tag);
            Cost {
                time: Duration::from_nanos(nanoseconds.parse().unwrap()),
                faults: faults.parse().unwrap(),
            }
        })
    };
    Ok(Contender {
        name,
        worker: Box::new(worker),
    })
}

fn tag(params: Argon2Params) -> [u8; 32] {
    let mut tag = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, to_argon2(params))
        .hash_password_into(PASSWORD.as_bytes(), SALT.as_bytes(), &mut tag)
        .unwrap();
    tag
}

fn to_argon2(params: Argon2Params) -> Params {
    Params::new(
        params.memory_kib(),
        params.iterations(),
        params.lanes(),
        Some(32),
    )
    .unwrap()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
