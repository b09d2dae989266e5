//! Which objects of a dataset's path are taken. Patterns flow in, yes or no flows out; nothing here touches a store.
//!
//! Patterns are globs relative to the dataset's path: `?` one character, `*` any within a segment, `**` any number of
//! segments. An object is taken when it matches one of the includes (or there are none) and none of the excludes.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use crate::error::BoundaryError;

/// What is left out unless `excludes` says otherwise: hidden and underscored names, and names of files being written.
pub const EXCLUDES_DEFAULT: [&str; 8] = ["**/_*", "**/_*/**", "**/.*", "**/.*/**", "**/*.tmp", "**/*.part", "**/*.crdownload", "**/*~"];

/// A filter as project files write it, after Clusterless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FilterSpec {
    /// What to take; all where there are none.
    pub includes: Vec<String>,
    /// What to leave out; [`EXCLUDES_DEFAULT`] where not given.
    pub excludes: Vec<String>,
    /// What separates segments in the patterns, `/` unless given.
    pub path_separator: char,
    /// Whether case does not matter.
    pub ignore_case: bool,
}

impl Default for FilterSpec {
    fn default() -> FilterSpec {
        let excludes = EXCLUDES_DEFAULT.map(str::to_owned).to_vec();
        FilterSpec { includes: Vec::new(), excludes, path_separator: '/', ignore_case: false }
    }
}

/// A filter ready for use.
#[derive(Clone, Debug)]
pub struct Filter {
    includes: Option<GlobSet>,
    excludes: GlobSet,
}

impl FilterSpec {
    /// Compiles the patterns. Fails with [`BoundaryError::Filter`] at the first that is no glob.
    pub fn compile(&self) -> Result<Filter, BoundaryError> {
        let includes = (!self.includes.is_empty()).then(|| self.set(&self.includes)).transpose()?;
        Ok(Filter { includes, excludes: self.set(&self.excludes)? })
    }

    fn set(&self, globs: &[String]) -> Result<GlobSet, BoundaryError> {
        let fail = |glob: &str, error: globset::Error| BoundaryError::Filter { glob: glob.to_owned(), reason: error.kind().to_string() };
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            let text = glob.replace(self.path_separator, "/");
            let compiled =
                GlobBuilder::new(&text).literal_separator(true).backslash_escape(true).case_insensitive(self.ignore_case).build();
            set.add(compiled.map_err(|error| fail(glob, error))?);
        }
        set.build().map_err(|error| fail(&globs.join(", "), error))
    }
}

impl Filter {
    /// Whether the object at `relative` (to the dataset's path, with `/`) is taken.
    pub fn is_taken(&self, relative: &str) -> bool {
        let included = self.includes.as_ref().is_none_or(|includes| includes.is_match(relative));
        included && !self.excludes.is_match(relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(includes: &[&str], excludes: Option<&[&str]>) -> Filter {
        let mut spec = FilterSpec { includes: includes.iter().map(|glob| glob.to_string()).collect(), ..FilterSpec::default() };
        if let Some(excludes) = excludes {
            spec.excludes = excludes.iter().map(|glob| glob.to_string()).collect();
        }
        spec.compile().unwrap()
    }

    #[test]
    fn names_of_files_being_written_are_left_out_by_default() {
        let filter = filter(&[], None);
        for name in ["a.tmp", "_SUCCESS", "x/_temporary/0/a", ".a.swp", "x/.git/a", "x/a.part", "a~"] {
            assert!(!filter.is_taken(name), "{name}");
        }
        for name in ["a", "x/a.log.gz", "a_b", "x/a.tmp.log", "2026-11-20-20-50-00-0123456789ABCDEF"] {
            assert!(filter.is_taken(name), "{name}");
        }
    }

    #[test]
    fn stars_stay_in_their_segment() {
        let filter = filter(&["*.log", "deep/**/?.gz"], Some(&["b*"]));
        for (name, taken) in
            [("a.log", true), ("x/a.log", false), ("deep/a.gz", true), ("deep/x/y/a.gz", true), ("deep/ab.gz", false), ("b.log", false)]
        {
            assert_eq!(filter.is_taken(name), taken, "{name}");
        }
        assert!(FilterSpec { includes: vec!["[".into()], ..FilterSpec::default() }.compile().is_err());
        let loud = FilterSpec { includes: vec!["*.LOG".into()], ignore_case: true, ..FilterSpec::default() };
        assert!(loud.compile().unwrap().is_taken("a.log"));
    }

    proptest! {
        #[test]
        fn any_name_is_taken_or_not(name in ".{0,40}", glob in "[a-z*?/\\[\\]{}]{0,10}") {
            if let Ok(filter) = (FilterSpec { includes: vec![glob], ..FilterSpec::default() }).compile() {
                filter.is_taken(&name);
            }
        }
    }
}
