//! Where the network cuts, which must not matter.

use std::fmt::Debug;

/// What `read` finds in a wire: the same of the whole, of two pieces, and byte by byte. The first two bytes of `data` say where to cut, the others
/// are the wire; `None` where they are fewer.
#[track_caller]
pub fn however_cut<'a, T: Debug + PartialEq>(
    data: &'a [u8],
    read: impl Fn(&mut dyn Iterator<Item = &'a [u8]>) -> T,
) -> Option<(&'a [u8], T)> {
    let (cut, wire) = data.split_first_chunk::<2>()?;
    let cut = usize::from(u16::from_be_bytes(*cut)) % (wire.len() + 1);
    let about = wire[..wire.len().min(600)].escape_ascii();
    let whole = read(&mut [wire].into_iter());
    assert_eq!(read(&mut [&wire[..cut], &wire[cut..]].into_iter()), whole, "cut at {cut}: {about}");
    assert_eq!(read(&mut wire.chunks(1)), whole, "byte by byte: {about}");
    Some((wire, whole))
}
