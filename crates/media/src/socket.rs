//! Sending many datagrams with few system calls: `sendmmsg` over runs, each run segmented by the kernel
//! (`UDP_SEGMENT`).
//!
//! quinn-udp receives in batches and tells what the kernel can do, but sends one run a call; the call that sends many
//! has no safe wrapper, which is why this file is the one place with unsafe code.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::SockAddr;

use crate::outbox::Run;

/// Runs sent by one system call.
const RUNS: usize = 64;

/// Room for one control message with a `u16`, aligned as the kernel wants it.
#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 32]);

/// Reused from call to call, so that sending allocates nothing.
pub(crate) struct Sender {
    addresses: Vec<SockAddr>,
    slices: Vec<libc::iovec>,
    controls: Vec<Control>,
    messages: Vec<libc::mmsghdr>,
    /// Whether the kernel segments.
    segments: bool,
}

// The pointers within are made and used in one call of `send`, and never kept across.
// SAFETY: no pointer is followed outside the call that made it, on whichever thread that is.
unsafe impl Send for Sender {}

impl Sender {
    pub(crate) fn new(segments: bool) -> Self {
        Self {
            addresses: Vec::with_capacity(RUNS),
            slices: Vec::with_capacity(RUNS),
            controls: vec![Control([0; 32]); RUNS],
            messages: Vec::with_capacity(RUNS),
            segments,
        }
    }

    /// Sends the first of `runs`, whose bytes are in `buffer`; returns how many were taken.
    ///
    /// # Errors
    /// The first run's; `WouldBlock` when the network takes nothing now.
    pub(crate) fn send(&mut self, socket: &impl AsRawFd, buffer: &[u8], runs: &[Run]) -> io::Result<usize> {
        self.addresses.clear();
        self.slices.clear();
        self.messages.clear();
        for run in runs.iter().take(RUNS) {
            let Some(bytes) = buffer.get(run.start..run.start + run.length) else { break };
            self.addresses.push(SockAddr::from(run.route.remote));
            // The kernel only reads from it.
            self.slices
                .push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
        }
        let parts = self.addresses.iter().zip(&mut self.slices).zip(&mut self.controls).zip(runs);
        for (((address, slice), control), run) in parts {
            // SAFETY: all fields of msghdr are integers or pointers, for which zero is valid.
            let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
            message.msg_name = address.as_ptr().cast_mut().cast();
            message.msg_namelen = address.len();
            message.msg_iov = ptr::from_mut(slice);
            message.msg_iovlen = 1;
            if self.segments && run.length > run.segment {
                message.msg_control = control.0.as_mut_ptr().cast();
                // SAFETY: CMSG_SPACE and CMSG_LEN only compute; 2 bytes need 24 of the 32 there are. CMSG_FIRSTHDR
                // points into `control`, which is aligned for a cmsghdr and outlives the call below.
                unsafe {
                    message.msg_controllen = libc::CMSG_SPACE(mem::size_of::<u16>() as u32) as _;
                    let header = libc::CMSG_FIRSTHDR(&message);
                    if !header.is_null() {
                        (*header).cmsg_level = libc::SOL_UDP;
                        (*header).cmsg_type = libc::UDP_SEGMENT;
                        (*header).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
                        libc::CMSG_DATA(header).cast::<u16>().write_unaligned(run.segment as u16);
                    }
                }
            }
            self.messages.push(libc::mmsghdr { msg_hdr: message, msg_len: 0 });
        }
        if self.messages.is_empty() {
            return Ok(runs.len());
        }
        let count = self.messages.len() as u32;
        // SAFETY: `messages` holds `count` headers; their names, slices and controls point into `self` and `buffer`,
        // none of which moves or ends before the call returns.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.messages.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Whether runs of several datagrams can be sent as they are.
    pub(crate) fn segments(&self) -> bool {
        self.segments
    }

    /// The network card cannot: from now on each datagram is a run of its own.
    pub(crate) fn stop_segmenting(&mut self) {
        self.segments = false;
    }
}
