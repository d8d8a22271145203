//! URLs, and what they say.
