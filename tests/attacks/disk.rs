//! A disk, a log and a writer that fail.
