//! Who may do what to whom, by whichever field or way it is asked.
