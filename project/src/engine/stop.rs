//! Stopping on SIGINT or SIGTERM: the first lets what is in flight finish, the second ends the process at once. What a
//! process that ended at once had staged is readable by nobody.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::logs;

/// How a shell names the end by SIGINT.
const INTERRUPTED: i32 = 130;

/// Whether somebody asked for an end.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Listens to signals from now on.
    pub fn on_signals() -> std::io::Result<Stop> {
        let (ask, asked) = watch::channel(false);
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            logs::say("stopping: what is in flight is finished first; once more stops at once");
            let _ = ask.send(true);
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(INTERRUPTED);
        });
        Ok(Stop { asked })
    }

    /// Whether to begin nothing more.
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Comes back when somebody asks.
    pub async fn asked(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
