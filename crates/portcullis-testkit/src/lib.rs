#![doc = include_str!("../README.md")]

pub mod adapter;
pub use adapter::{Adapter, AdapterApp};

mod broken_store;
pub use broken_store::BrokenStore;

pub mod credential_store;

pub mod fastapi;

mod fake_hasher;
pub use fake_hasher::{FakeHasher, HashWork};

mod fake_tokens;
pub use fake_tokens::FakeTokens;

mod faulty;
pub use faulty::{Faults, Faulty};

mod in_flight;
pub use in_flight::InFlight;

mod manual_clock;
pub use manual_clock::ManualClock;

mod manual_runtime;
pub use manual_runtime::ManualRuntime;

mod processes;
pub use processes::{
    race_of_processes_over_attempts, race_of_processes_over_families,
    race_of_processes_over_tokens, race_of_processes_over_users,
};

mod property;

mod recording_observer;
pub use recording_observer::{RecordedEvent, RecordingObserver};

pub mod refresh_store;

mod seeded_random;
pub use seeded_random::SeededRandom;

mod signed_in;
pub use signed_in::signed_in;

mod suite;
pub use suite::{Outcome, Subject, Violation, check};

pub mod throttle_store;

pub mod token_store;
