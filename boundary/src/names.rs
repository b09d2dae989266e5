//! Names on a disk that no store can list: a walk of a folder flows in, the names that can be taken and those that cannot
//! flow out. One name that is not UTF-8, or one folder that cannot be read, must not hold up all the others.

use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use crate::filter::Filter;

/// Names told at once; of more only the number.
pub const REFUSED_MAX: usize = 100;

/// A file or folder that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Its path, with everything strange escaped.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not taken: {}", self.path, self.reason)
    }
}

/// What a walk has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// What cannot be taken, the first [`REFUSED_MAX`].
    pub refused: Vec<Refused>,
    /// How many cannot be taken.
    pub refused_total: usize,
    /// Whether something here would end a store's listing with an error.
    pub is_blocked: bool,
}

/// Walks a folder and hands over the relative names that can be taken, whether or not the filter takes them; ends early
/// when `hand_over` says false. Links are followed, once around; a folder that is not there is an empty one.
pub fn walk(folder: &Path, filter: &Filter, mut hand_over: impl FnMut(String) -> bool) -> Walked {
    let mut walked = Walked::default();
    let mut entries = WalkDir::new(folder).follow_links(true).into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Err(error) => walked.note_error(folder, filter, &error),
            Ok(entry) if entry.depth() == 0 => {}
            Ok(entry) => match relative_of(folder, &entry) {
                Ok(relative) if entry.file_type().is_file() => {
                    if !hand_over(relative) {
                        break;
                    }
                }
                Ok(_) => {}
                Err((reason, is_blocking)) => {
                    walked.is_blocked |= is_blocking;
                    walked.refuse(folder, filter, entry.path(), reason.to_owned());
                    if entry.file_type().is_dir() {
                        entries.skip_current_dir();
                    }
                }
            },
        }
    }
    walked
}

impl Walked {
    /// Notes what could not be walked. A link that leads back up hides nothing, and one that leads nowhere is no object.
    fn note_error(&mut self, folder: &Path, filter: &Filter, error: &walkdir::Error) {
        if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) {
            return;
        }
        self.is_blocked = true;
        if let (Some(cause), Some(path)) = (error.io_error(), error.path()) {
            self.refuse(folder, filter, path, format!("{cause}; make it readable, or exclude it in the boundary's filter"));
        }
    }

    fn refuse(&mut self, folder: &Path, filter: &Filter, path: &Path, reason: String) {
        let relative = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        if !filter.is_taken(&relative) {
            return;
        }
        self.refused_total += 1;
        if self.refused.len() < REFUSED_MAX {
            self.refused.push(Refused { path: format!("{path:?}"), reason });
        }
    }
}

/// The name as stores see it; else what is wrong with it, and whether it ends a listing.
fn relative_of(folder: &Path, entry: &DirEntry) -> Result<String, (&'static str, bool)> {
    let relative = entry.path().strip_prefix(folder).map_or(OsStr::new(""), Path::as_os_str);
    let Some(relative) = relative.to_str() else { return Err(("its name is not UTF-8; rename it", true)) };
    if relative.chars().any(|c| c.is_ascii_control()) {
        return Err(("its name has a control character; rename it", true));
    }
    if entry.file_type().is_file() && is_staged_name(entry.file_name()) {
        return Err(("names that end in # and digits are kept for files being written; rename it", false));
    }
    Ok(relative.to_owned())
}

/// The names that object_store gives to files that it has not finished writing, and leaves out of its listings.
fn is_staged_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let Some(sharp) = name.iter().position(|byte| *byte == b'#') else { return false };
    let digits = &name[sharp + 1..];
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::filter::FilterSpec;
    use expect_test::expect;

    #[test]
    fn strange_names_are_told_and_the_others_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        std::fs::create_dir_all(at(b"deep\n/er")).unwrap();
        for name in
            [&b"a b"[..], b"per%20cent", b"back\\slash", b"quo\"te", b"sharp#x", b"sharp#7", b"bad\xff", b"deep\n/er/a", b".hidden\n"]
        {
            std::fs::write(at(name), "x").unwrap();
        }
        symlink(folder.path(), at(b"loop")).unwrap();
        symlink("nowhere", at(b"dangling")).unwrap();
        let mut names = Vec::new();
        let mut walked = walk(folder.path(), &FilterSpec::default().compile().unwrap(), |name| {
            names.push(name);
            true
        });
        names.sort();
        walked.refused.sort();
        expect![[r#"
            ["a b", "back\\slash", "per%20cent", "quo\"te", "sharp#x"]"#]]
        .assert_eq(&format!("{names:?}"));
        let told: Vec<_> = walked.refused.iter().map(|one| one.to_string().replace(&folder.path().display().to_string(), "")).collect();
        expect![[r#"
            "/bad\xFF" is not taken: its name is not UTF-8; rename it
            "/deep\n" is not taken: its name has a control character; rename it
            "/sharp#7" is not taken: names that end in # and digits are kept for files being written; rename it"#]]
        .assert_eq(&told.join("\n"));
        assert!(walked.is_blocked);
    }

    #[test]
    fn of_many_the_number_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..REFUSED_MAX + 1 {
            std::fs::write(folder.path().join(format!("a#{n}")), "x").unwrap();
        }
        let walked = walk(folder.path(), &FilterSpec::default().compile().unwrap(), |_| true);
        assert_eq!((walked.refused.len(), walked.refused_total, walked.is_blocked), (REFUSED_MAX, REFUSED_MAX + 1, false));
        assert_eq!(walk(&folder.path().join("nowhere"), &FilterSpec::default().compile().unwrap(), |_| true), Walked::default());
    }
}
