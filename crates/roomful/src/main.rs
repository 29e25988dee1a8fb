//! The `roomful` binary: a self-hosted live-room server. See ARCHITECTURE.md for the map.

mod accounts;
mod again;
mod alarm;
mod app;
mod between;
mod booked;
mod budget;
mod census;
mod chronicle;
mod cli;
mod clock;
mod cluster;
mod code;
mod config;
mod control;
mod demux;
mod dev;
mod door;
mod error;
mod events;
mod first_app;
mod gateway;
#[cfg(test)]
mod generated;
mod halls;
mod host;
mod in_turn;
mod keys;
mod lease;
mod limit;
mod link;
mod live;
mod lives;
mod locks;
mod logging;
mod metrics;
mod open_rooms;
mod opening;
mod page;
mod patience;
mod places;
mod presence;
mod pulse;
mod quality;
mod quota;
mod repeats;
mod rest;
mod rtc;
mod scale;
mod sdk;
mod serve;
mod server;
mod service;
mod session;
mod signals;
mod straight;
mod tenant;
mod terminal;
mod tls;
mod told;
mod usage;
mod webhooks;
mod welcome;
mod wire;
mod workers;

/// Connections allocate and free small things all the time, on all threads: a call costs a tenth less than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
