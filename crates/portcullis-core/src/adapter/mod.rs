//! What an adapter to a web framework is written with.
//!
//! An adapter turns the framework's request into a [`RequestHead`] and chunks of a body, gives both to
//! a [`Mount`], and turns the [`Reply`](crate::responder::Reply) that it gets into the framework's
//! response. It brings a [`Runtime`]: a timer, and a way to run a task that outlives the request. It
//! decides nothing. An application that uses a ready adapter needs of this module [`Mount`] at most,
//! to rename paths.

mod body;
pub(crate) use body::{Bodies, NoRoom};
pub use body::{BodyBuffer, BodyTooLarge};

mod mount;
pub use mount::{Fallback, Found, Mount};

mod operation;
pub use operation::Operation;

mod remote_address;
pub use remote_address::RemoteAddress;

mod request;
pub use request::RequestHead;

mod route;
pub use route::{Origin, Route, Routes, Scheme};

mod runtime;
pub use runtime::{BoxFuture, Runtime};
pub(crate) use runtime::{Caller, Outliving};
