//! The window of time that listings look at.

use chrono::{DateTime, Utc};
use manifests::Lot;
use project::parse_moment;

use super::{Context, Trouble, usage};

/// `--earliest` and `--latest`.
#[derive(Clone, Debug, clap::Args)]
pub struct WindowArgs {
    /// Look at lots from then on: 12h (ago), 2d, a time, a date or a lot; all where not given.
    #[arg(long, value_name = "TIME")]
    earliest: Option<String>,
    /// Look at lots up to then: now, or as above; all where not given.
    #[arg(long, value_name = "TIME")]
    latest: Option<String>,
}

/// A window of time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Lots that end after this.
    earliest: Option<DateTime<Utc>>,
    /// Lots that start before or at this.
    latest: Option<DateTime<Utc>>,
}

impl WindowArgs {
    /// The window as of the program's start.
    pub fn window(&self, context: &Context) -> Result<Window, Trouble> {
        let moment = |text: &Option<String>| text.as_ref().map(|text| parse_moment(text, context.now).map_err(usage)).transpose();
        let (earliest, latest) = (moment(&self.earliest)?, moment(&self.latest)?);
        if earliest.zip(latest).is_some_and(|(earliest, latest)| earliest > latest) {
            return Err(Trouble::usage("--earliest is after --latest"));
        }
        Ok(Window { earliest, latest })
    }
}

impl Window {
    /// Whether any of the lot lies inside.
    pub fn holds(&self, lot: Lot) -> bool {
        self.earliest.is_none_or(|earliest| lot.end() > earliest) && self.latest.is_none_or(|latest| lot.start() <= latest)
    }
}

#[cfg(test)]
impl Window {
    /// All of time.
    pub fn all() -> Window {
        Window { earliest: None, latest: None }
    }
}
