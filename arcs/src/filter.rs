//! Filters of objects by globs: the JSON of a project file flows in, yes or no for a relative path flows out. `*` and `?`
//! stop at the separator, `**` does not.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Deserialize;

/// Which objects, by their path below the source's dataset. As Clusterless writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FilterSpec {
    #[serde(default)]
    includes: Vec<String>,
    #[serde(default)]
    excludes: Vec<String>,
    path_separator: Option<String>,
    #[serde(default)]
    ignore_case: bool,
}

/// A filter ready to be asked.
pub(crate) struct Filter {
    includes: GlobSet,
    excludes: GlobSet,
    separator: String,
    is_all: bool,
}

impl FilterSpec {
    /// Compiles the globs.
    pub(crate) fn build(&self) -> Result<Filter, globset::Error> {
        let separator = self.path_separator.clone().filter(|separator| !separator.is_empty()).unwrap_or_else(|| "/".into());
        let set = |globs: &[String]| {
            let mut set = GlobSetBuilder::new();
            for glob in globs {
                let glob = glob.replace(&separator, "/");
                set.add(GlobBuilder::new(&glob).literal_separator(true).case_insensitive(self.ignore_case).build()?);
            }
            set.build()
        };
        let (includes, excludes) = (set(&self.includes)?, set(&self.excludes)?);
        Ok(Filter { includes, excludes, separator, is_all: self.includes.is_empty() })
    }
}

impl Filter {
    /// Whether it takes the object at a path below the dataset.
    pub(crate) fn takes(&self, relative: &str) -> bool {
        let path = relative.replace(&self.separator, "/");
        (self.is_all || self.includes.is_match(&path)) && !self.excludes.is_match(&path)
    }
}
