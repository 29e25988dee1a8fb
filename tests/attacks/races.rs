//! Two things at one moment: sessions that come back while they are put out, rooms that end while they are spoken in.
