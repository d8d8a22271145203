#![doc = include_str!("../README.md")]

mod bearer;
pub use bearer::Bearer;

mod login;
pub use login::LoginRoutes;

mod reply;

pub use portcullis_core;
