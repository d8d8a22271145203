//! Redis servers and clusters.
