//! Frames that say how long they are (RFC 6587, octet counting: `53 <34>1 …`): the bytes of an object flow in, where its
//! frames lie flows out. What is no frame goes on to the end of its line, and is for the format to refuse.

/// Digits that the length of a frame may have.
const DIGITS_MAX: usize = 8;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where its message starts.
    pub start: usize,
    /// Where its message ends, without newlines at its end.
    pub end: usize,
    /// Where the next frame starts.
    pub next: usize,
    /// Whether all of it is there.
    pub is_whole: bool,
}

/// Whether a text starts with a frame that holds a syslog message.
pub(crate) fn starts(text: &[u8]) -> bool {
    let text = &text[newlines(text)..];
    header(text).is_some_and(|(length, _)| text.get(length) == Some(&b'<'))
}

/// The frames of a text.
pub(crate) fn frames(text: &[u8]) -> impl Iterator<Item = Frame> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += newlines(&text[at..]);
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let (start, end, is_whole) = match header(rest) {
            Some((start, length)) => (start, (start + length).min(rest.len()), start + length <= rest.len()),
            None => (0, memchr::memchr(b'\n', rest).unwrap_or(rest.len()), true),
        };
        let message = &rest[start..end];
        let newlines = message.iter().rev().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let frame = Frame { start: at + start, end: at + end - newlines, next: at + end, is_whole };
        at = frame.next;
        Some(frame)
    })
}

/// Where the last whole frame of a text ends, and the newlines after it.
pub(crate) fn last_end(text: &[u8]) -> Option<usize> {
    let mut last = None;
    for frame in frames(text).filter(|frame| frame.is_whole && frame.next < text.len()) {
        last = Some(frame.next);
    }
    last.map(|end| end + newlines(&text[end..]))
}

/// The length of the header of a frame, and the length of the message that it tells.
fn header(text: &[u8]) -> Option<(usize, usize)> {
    let digits = text.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=DIGITS_MAX).contains(&digits) || text.get(digits) != Some(&b' ') || text[0] == b'0' {
        return None;
    }
    let length = text[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    Some((digits + 1, length))
}

fn newlines(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_what_is_none() {
        let text = b"5 <1>ab\n4 <2>\nno frame\n0 x\n99 <3>cut";
        assert!(starts(text) && !starts(b"<1>1 x") && !starts(b"12 x") && !starts(b""));
        let found: Vec<_> =
            frames(text).map(|frame| (String::from_utf8_lossy(&text[frame.start..frame.end]).into_owned(), frame.is_whole)).collect();
        let expected = [("<1>ab", true), ("<2>", true), ("no frame", true), ("0 x", true), ("<3>cut", false)];
        assert_eq!(found, expected.map(|(text, is_whole)| (text.to_owned(), is_whole)));
        assert_eq!(last_end(text), Some(27));
        assert_eq!(last_end(b"5 <1>ab"), None);
    }
}
