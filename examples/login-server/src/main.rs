//! A small login server over portcullis.

fn main() {}
