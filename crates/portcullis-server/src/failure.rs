//! How a command ends when it cannot do what it was asked: one sentence and an exit code.

use std::fmt;
use std::process::ExitCode;

use portcullis::{Error, ErrorKind};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something must be set otherwise before this can work. Exit code 2.
    Config(String),
    /// The command was understood and refused. Exit code 1.
    Refused(String),
}

impl Failure {
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Config(message.into())
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }

    /// Says which line of the input it is about.
    pub(crate) fn at_line(self, number: usize) -> Self {
        self.map(|message| format!("line {number}: {message}"))
    }

    /// Says what had been done before.
    pub(crate) fn after(self, done: &str) -> Self {
        self.map(|message| format!("{done}, then {message}"))
    }

    /// All of these in one; `None` if there are none.
    pub(crate) fn all(failures: &[Self]) -> Option<Self> {
        let messages: Vec<_> = failures.iter().map(Self::to_string).collect();
        (!messages.is_empty()).then(|| Self::refused(messages.join("; ")))
    }

    fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Config(message) => Self::Config(change(message)),
            Self::Refused(message) => Self::Refused(change(message)),
        }
    }

    /// Prints the sentence and gives the exit code.
    #[expect(
        clippy::print_stderr,
        reason = "this is what the person at the terminal reads"
    )]
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("portcullis-server: {self}");
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::Refused(_) => ExitCode::from(1),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(message) | Self::Refused(message) => f.write_str(message),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidConfig => Self::config(error.message()),
            _ => Self::refused(error.to_string()),
        }
    }
}
