//! Where the client of a request is, if proxies are in between.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;

/// Where the client of a request is, for an application that knows better than the connection, as
/// one behind a proxy. A middleware puts this among the extensions of a request, and the adapters
/// take it from there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it gives a meaning to one value")]
pub struct RemoteAddress(pub IpAddr);

impl RemoteAddress {
    /// Reads `X-Forwarded-For`, whose values are `values` in the order they came, behind so many
    /// `proxies` of your own. Each adds at the end where it was connected from; what stands before
    /// was sent by the client, and may be anything.
    ///
    /// An address of IPv6 may stand in brackets, and a port after it, as some proxies write it. Empty
    /// elements of the list do not count (RFC 9110 §5.6.1.2).
    ///
    /// `None` if there are fewer addresses than proxies, or it is none.
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    ///
    /// use portcullis_core::adapter::RemoteAddress;
    ///
    /// let one = NonZeroUsize::MIN;
    /// let address = RemoteAddress::forwarded([&b"a lie, 192.0.2.1"[..]], one);
    /// assert_eq!(address, Some(RemoteAddress([192, 0, 2, 1].into())));
    /// ```
    pub fn forwarded<'a, I>(values: I, proxies: NonZeroUsize) -> Option<Self>
    where
        I: IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    {
        let mut from_the_end = values
            .into_iter()
            .rev()
            .flat_map(|value| value.rsplit(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|address| !address.is_empty());
        let address = from_the_end.nth(proxies.get() - 1)?;
        let address = str::from_utf8(address).ok()?;
        let in_brackets = || address.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
        let with_port = || Some(address.parse::<SocketAddr>().ok()?.ip());
        address
            .parse()
            .ok()
            .or_else(|| in_brackets().map(IpAddr::V6))
            .or_else(with_port)
            .map(Self)
    }
}
