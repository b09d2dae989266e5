//! Who holds a lease, as text: `host/pid/starttime`. What flows in is `/proc`; what flows out is this process's own
//! text, and whether another's process is certainly gone. A host that cannot tell says nobody is.

/// The host is its name and the inode of its process-id namespace, so that containers are not taken for one another.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits: String = space.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    let name: String = name.trim().chars().filter(|letter| *letter != '/').collect();
    format!("{name}@{digits}")
}

/// The text of this process.
pub fn this_process() -> String {
    let pid = std::process::id();
    format!("{}/{pid}/{}", host(), started(pid).unwrap_or(0))
}

/// The text of this worker: the job of Batch and its attempt where it is one, else this process.
pub fn this_worker() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match variable("AWS_BATCH_JOB_ID") {
        Some(job) => format!("batch/{job}/{}", variable("AWS_BATCH_JOB_ATTEMPT").unwrap_or_else(|| "1".to_owned())),
        None => this_process(),
    }
}

/// Whether `owner` was a process of this host and is gone.
pub fn is_dead(owner: &str) -> bool {
    if let Some((job, _)) = owner.strip_prefix("batch/").and_then(|rest| rest.split_once('/')) {
        // Attempts of one job come one after the other: another attempt of this worker's own job is over.
        let mine = this_worker();
        return mine != owner && mine.starts_with(&format!("batch/{job}/"));
    }
    let parts: Vec<&str> = owner.split('/').collect();
    let [owners_host, pid, start] = parts.as_slice() else { return false };
    let (Ok(pid), Ok(start)) = (pid.parse(), start.parse::<u64>()) else { return false };
    // Where this process cannot see itself in /proc, it sees nobody: then nobody is known to be dead.
    *owners_host == host() && started(std::process::id()).is_some() && started(pid) != Some(start)
}

/// When a process started, in ticks since boot; `None` where it is gone, or dead and not yet reaped.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command, in parentheses, may hold spaces and parentheses: fields count from the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let is_alive = !matches!(*fields.first()?, "Z" | "X");
    is_alive.then(|| fields.get(19)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(!is_dead(&this_process()), "{}", this_process());
    }

    #[test]
    fn a_process_that_ended_is_dead_and_one_elsewhere_is_not_known_to_be() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let owner = format!("{}/{}/1", host(), child.id());
        child.wait().unwrap();
        assert!(is_dead(&owner), "{owner}");
        assert!(!is_dead("elsewhere/1/1") && !is_dead("") && !is_dead("a/b/c/d") && !is_dead("batch-job-7"));
    }

    #[test]
    fn a_pid_that_was_given_to_another_process_is_dead() {
        let owner = format!("{}/{}/1", host(), std::process::id());
        assert!(is_dead(&owner));
    }
}
