//! How long checking the dearest hashes of a store takes here and now, so that all others can take as
//! long.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{PasswordHash, PasswordHasher};

/// How many checks of a class are remembered: enough to have their spread, few enough to follow the
/// load.
const REMEMBERED: usize = 64;

/// How many classes: a store has some few, of as many systems as it was migrated from.
const CLASSES: usize = 32;

/// Hashes that take equally long to check, as far as can be told by reading one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Class {
    scheme: String,
    cost: u64,
}

impl Class {
    pub(crate) fn of(hasher: &dyn PasswordHasher, hash: &PasswordHash) -> Self {
        let mut parts = hash.expose().split('$');
        let scheme = parts.find(|part| !part.is_empty()).unwrap_or_default();
        Self {
            // More would be no name of a scheme.
            scheme: scheme.chars().take(32).collect(),
            cost: hasher.attack_cost(hash).unwrap_or_default().to_bits(),
        }
    }
}

/// The durations of the last checks of each class of hashes, in processor time: a thread that is
/// interrupted takes longer by as much whether it hashes or fills up.
///
/// A check takes as long as the longest of its own duration and one remembered duration of each other
/// class, so that all take what is the longest of one duration of each class, whichever was checked. Where
/// one class is dearer than all others that is its own duration; where two lie close together neither
/// can be told by its mean or by its *spread*.
#[derive(Debug)]
pub(crate) struct TargetTime {
    limit: Duration,
    /// That of current hashes first.
    classes: Mutex<Vec<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    class: Class,
    /// What is not noise.
    least: Duration,
    durations: [Duration; REMEMBERED],
    next_written: usize,
    next_read: usize,
}

/// How long a check is still to take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    /// Until it has taken so long, if it has not yet.
    Until(Duration),
    /// It takes longer than is hidden.
    TooLong,
}

impl TargetTime {
    /// Starts with the duration of one check of a current hash. What takes longer than `limit` is not
    /// hidden.
    pub(crate) fn new(current: Class, first: Duration, limit: Duration) -> Self {
        Self {
            limit,
            classes: Mutex::new(vec![Known::new(current, first)]),
        }
    }

    /// The same with another limit.
    pub(crate) fn with_limit(&self, limit: Duration) -> Self {
        Self {
            limit,
            classes: Mutex::new(self.lock().clone()),
        }
    }

    /// Whether hashes of a class were checked before.
    pub(crate) fn knows(&self, class: &Class) -> bool {
        self.lock().iter().any(|known| known.class == *class)
    }

    /// Remembers how long checking a hash took, and tells how long that is still to take.
    pub(crate) fn record(&self, class: &Class, duration: Duration) -> Rest {
        let mut classes = self.lock();
        let place = classes.iter().position(|known| known.class == *class);
        let place = place.unwrap_or_else(|| {
            if classes.len() < CLASSES {
                classes.push(Known::new(class.clone(), duration));
                return classes.len() - 1;
            }
            // Cheap ones need not be known: they take as long as the dearest anyhow.
            let others = classes.iter().enumerate().skip(1);
            let cheapest = others.min_by_key(|(_, known)| known.least);
            let place = cheapest.map_or(1, |(place, _)| place);
            classes[place] = Known::new(class.clone(), duration);
            place
        });
        classes[place].record(duration);
        if place > 0 && classes[place].least > self.limit {
            return Rest::TooLong;
        }
        let others = classes
            .iter_mut()
            .enumerate()
            .filter(|(other, known)| *other != place && (*other == 0 || known.least <= self.limit));
        let longest = others.map(|(_, known)| known.next()).max();
        Rest::Until(longest.unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.classes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(class: Class, first: Duration) -> Self {
        Self {
            class,
            least: first,
            durations: [first; REMEMBERED],
            next_written: 0,
            next_read: 0,
        }
    }

    fn record(&mut self, duration: Duration) {
        self.least = self.least.min(duration);
        self.durations[self.next_written] = duration;
        self.next_written = (self.next_written + 1) % REMEMBERED;
    }

    fn next(&mut self) -> Duration {
        let duration = self.durations[self.next_read];
        self.next_read = (self.next_read + 1) % REMEMBERED;
        duration
    }
}
