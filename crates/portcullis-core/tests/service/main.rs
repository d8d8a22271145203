//! A whole service in memory, asked as its clients and its operators ask it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may")]

mod access_tokens;
mod account_steps;
mod accounts;
mod audit;
mod blocklist;
mod devices_by_session;
mod gate;
mod guard;
mod house;
mod mount;
mod password_change;
mod responder;
mod session_life;
mod sessions;
