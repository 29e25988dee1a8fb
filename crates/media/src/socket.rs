//! Sending many datagrams with few system calls: `sendmmsg` over runs, each run segmented by the kernel
//! (`UDP_SEGMENT`), and sent from the address that the other side knows (`IP_PKTINFO`).
//!
//! quinn-udp receives in batches and tells what the kernel can do, but sends one run a call; the call that sends many
//! has no safe wrapper, which is why this file is the one place with unsafe code.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::SockAddr;

use crate::outbox::Run;

/// Runs sent by one system call.
const RUNS: usize = 64;

/// Room for two control messages, a `u16` (24 bytes) and an `in6_pktinfo` (40), aligned as the kernel wants it.
#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

impl Control {
    /// Puts a message behind the `used` bytes; returns how many are used then.
    ///
    /// # Safety
    /// `T` is what the kernel reads for this kind of message, and there is room for it.
    unsafe fn put<T>(&mut self, used: usize, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
        let size = mem::size_of::<T>() as u32;
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute. `used` is a multiple of 8, as what CMSG_SPACE returns, so the header
        // is aligned; the caller sees to the room.
        unsafe {
            let header = self.0.as_mut_ptr().add(used).cast::<libc::cmsghdr>();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
            used + libc::CMSG_SPACE(size) as usize
        }
    }
}

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
            controls: vec![Control([0; 64]); RUNS],
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
            let mut used = 0;
            // SAFETY: the kernel reads a u16 for UDP_SEGMENT and these structs for PKTINFO; all fields of theirs are integers,
            // for which zero is valid; a u16 and the larger of them need 64 bytes, which there are.
            unsafe {
                if self.segments && run.length > run.segment {
                    used = control.put(used, libc::SOL_UDP, libc::UDP_SEGMENT, run.segment as u16);
                }
                match run.route.local {
                    Some(IpAddr::V4(local)) => {
                        let mut info: libc::in_pktinfo = mem::zeroed();
                        info.ipi_spec_dst.s_addr = u32::from_ne_bytes(local.octets());
                        used = control.put(used, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
                    }
                    Some(IpAddr::V6(local)) => {
                        let mut info: libc::in6_pktinfo = mem::zeroed();
                        info.ipi6_addr.s6_addr = local.octets();
                        used = control.put(used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
                    }
                    None => {}
                }
            }
            if used > 0 {
                message.msg_control = control.0.as_mut_ptr().cast();
                message.msg_controllen = used as _;
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

    use super::*;
    use crate::outbox::Route;

    #[test]
    fn runs_go_from_the_address_that_they_name() {
        for (any, to, from) in [
            (
                IpAddr::from(Ipv4Addr::UNSPECIFIED),
                IpAddr::from(Ipv4Addr::LOCALHOST),
                IpAddr::from([127, 0, 0, 3]),
            ),
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()),
            (Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into(), [127, 0, 0, 3].into()),
        ] {
            let receiver = UdpSocket::bind((to, 0)).unwrap();
            let socket = UdpSocket::bind((any, 0)).unwrap();
            let own = SocketAddr::new(from, socket.local_addr().unwrap().port());
            for segments in [true, false] {
                let route = Route { local: Some(from), ..Route::udp(receiver.local_addr().unwrap()) };
                let length = if segments { 250 } else { 100 };
                let runs = [Run { route, start: 0, length, segment: 100 }];

                let sent = Sender::new(segments).send(&socket, &[7; 250], &runs).unwrap();

                assert_eq!(sent, 1);
                let mut buffer = [0; 500];
                for expected in if segments { &[100, 100, 50][..] } else { &[100] } {
                    assert_eq!(
                        receiver.recv_from(&mut buffer).unwrap(),
                        (*expected, own),
                        "{any} {segments}"
                    );
                }
            }
        }
    }
}
