//! Who may connect, and what a connection may cost: memory before a signature, deadlines, files, addresses.
