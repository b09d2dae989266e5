//! What the project file says of memory, time and processor, wherever it says it. A checked project and an arc or a
//! boundary flow in, numbers with their defaults flow out.

pub(crate) use arcs::workload::is_athena;
use manifests::ArcSpec;
use serde_json::Value;

use crate::file::Project;

/// Minutes that a job may take where the file says nothing.
pub const JOB_MINUTES_DEFAULT: u64 = 60;
/// Memory of a job in MB where the file says nothing.
pub const JOB_MEMORY_MB_DEFAULT: u64 = 2048;
/// Memory of a boundary's function in MB where the file says nothing.
pub const BOUNDARY_MEMORY_MB_DEFAULT: u64 = 512;
/// Minutes that a boundary's function may take where the file says nothing.
pub const BOUNDARY_MINUTES_DEFAULT: u64 = 4;
/// Attempts of a job where the file says nothing.
pub const JOB_ATTEMPTS_DEFAULT: u64 = 3;

/// The sizes that Fargate has: thousandths of a vCPU, the memory in MB that goes with it: least, most, step. Source: AWS
/// Batch user guide, "Job definition parameters", resourceRequirements, as of November 2026.
pub const FARGATE: [(u64, u64, u64, u64); 7] = [
    (250, 512, 2048, 512),
    (500, 1024, 4096, 1024),
    (1000, 2048, 8192, 1024),
    (2000, 4096, 16_384, 1024),
    (4000, 8192, 30_720, 1024),
    (8000, 16_384, 61_440, 4096),
    (16_000, 32_768, 122_880, 8192),
];

/// A processor architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// Graviton; the default.
    #[default]
    Arm64,
    /// Intel and AMD.
    X86_64,
}

impl Architecture {
    fn of(text: &str) -> Architecture {
        if text.eq_ignore_ascii_case("X86_64") { Architecture::X86_64 } else { Architecture::Arm64 }
    }

    /// As Lambda and names of packages have it.
    pub fn lambda(self) -> &'static str {
        match self {
            Architecture::Arm64 => "arm64",
            Architecture::X86_64 => "x86_64",
        }
    }

    /// As Batch has it.
    pub fn batch(self) -> &'static str {
        match self {
            Architecture::Arm64 => "ARM64",
            Architecture::X86_64 => "X86_64",
        }
    }

    /// As container tools have it.
    pub fn container(self) -> &'static str {
        match self {
            Architecture::Arm64 => "arm64",
            Architecture::X86_64 => "amd64",
        }
    }
}

/// What something runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runtime {
    /// Memory.
    pub memory_mb: u64,
    /// Thousandths of a vCPU; of no meaning for functions.
    pub vcpu_milli: u64,
    /// Time.
    pub minutes: u64,
    /// Attempts, the first one included.
    pub attempts: u64,
    /// Processor.
    pub architecture: Architecture,
}

/// The least vCPU that Fargate sells with so much memory, in thousandths; `None` where no size has it.
pub(crate) fn vcpu_for(memory_mb: u64) -> Option<u64> {
    FARGATE.iter().find(|size| is_size(size, memory_mb)).map(|size| size.0)
}

/// Whether Fargate sells the pair.
pub(crate) fn is_pair(vcpu_milli: u64, memory_mb: u64) -> bool {
    FARGATE.iter().any(|size| size.0 == vcpu_milli && is_size(size, memory_mb))
}

fn is_size(size: &(u64, u64, u64, u64), memory_mb: u64) -> bool {
    let is_half_gib = size.0 == 250;
    (size.1..=size.2).contains(&memory_mb) && memory_mb.is_multiple_of(size.3) && !(is_half_gib && memory_mb == 1536)
}

/// Thousandths of a vCPU as the file gives them: `0.5`, `2`, `"0.25"`.
pub(crate) fn vcpu_milli(value: &Value) -> Option<u64> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    let milli = (number * 1000.0).round();
    FARGATE.iter().map(|size| size.0).find(|known| *known as f64 == milli)
}

/// vCPUs as Batch writes them: `0.25`, `2`.
pub(crate) fn vcpu_text(milli: u64) -> String {
    format!("{}", milli as f64 / 1000.0)
}

/// What props say, a container's defaults elsewhere. A file without memory but with vCPU gets the least memory of that.
pub(crate) fn of_props(props: Option<&Value>) -> Runtime {
    let get = |key: &str| props.and_then(|props| props.get(key));
    let number = |key: &str| get(key).and_then(Value::as_u64);
    let vcpu = get("vcpu").and_then(vcpu_milli);
    let least = vcpu.and_then(|vcpu| FARGATE.iter().find(|size| size.0 == vcpu)).map(|size| size.1);
    let memory_mb = number("memorySizeMB").or(least).unwrap_or(JOB_MEMORY_MB_DEFAULT);
    let usual = if number("memorySizeMB").is_none() { 1000 } else { vcpu_for(memory_mb).unwrap_or(1000) };
    Runtime {
        memory_mb,
        vcpu_milli: vcpu.unwrap_or(usual),
        minutes: number("timeoutMin").unwrap_or(JOB_MINUTES_DEFAULT).max(1),
        attempts: number("retryAttempts").map_or(JOB_ATTEMPTS_DEFAULT, |more| (more + 1).min(10)),
        architecture: get("architecture").and_then(Value::as_str).map(Architecture::of).unwrap_or_default(),
    }
}

fn listed<'a>(document: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    document.get(list)?.as_array()?.iter().find(|entry| entry["name"] == name)
}

/// The entry of an arc as the file has it.
pub(crate) fn arc_entry<'a>(project: &'a Project, arc: &str) -> Option<&'a Value> {
    listed(&project.document, "arcs", arc)
}

/// The entry of a boundary as the file has it.
pub(crate) fn boundary_entry<'a>(project: &'a Project, boundary: &str) -> Option<&'a Value> {
    listed(&project.document, "boundaries", boundary)
}

/// What an arc's jobs run with.
pub(crate) fn of_arc(project: &Project, arc: &ArcSpec) -> Runtime {
    let runtime = of_props(arc_entry(project, &arc.id.arc).and_then(arc_props));
    // `exec` has a time of its own.
    let minutes = arc.workload.get("timeoutMin").and_then(Value::as_f64).map(|minutes| minutes.ceil().max(1.0) as u64);
    Runtime { minutes: minutes.unwrap_or(runtime.minutes), ..runtime }
}

/// Where an arc's entry says what it runs with: ours beside the workload, Clusterless's inside.
pub(crate) fn arc_props(entry: &Value) -> Option<&Value> {
    entry.get("runtimeProps").or_else(|| entry.get("workload")?.get("batchRuntimeProps"))
}

/// What a boundary's function runs with.
pub(crate) fn of_boundary(project: &Project, boundary: &str) -> Runtime {
    let props = boundary_entry(project, boundary).and_then(|entry| entry.get("runtimeProps"));
    let number = |key: &str| props.and_then(|props| props.get(key)).and_then(Value::as_u64);
    Runtime {
        memory_mb: number("memorySizeMB").unwrap_or(BOUNDARY_MEMORY_MB_DEFAULT),
        minutes: number("timeoutMin").unwrap_or(BOUNDARY_MINUTES_DEFAULT).max(1),
        ..of_props(props)
    }
}

/// Whether the arc's jobs run an image of the user's.
pub fn is_user_image(arc: &ArcSpec) -> bool {
    arc.kind == "exec"
}

/// The workgroup that an arc's query names for itself.
pub(crate) fn workgroup(arc: &ArcSpec) -> Option<&str> {
    arc.workload.get("workgroup").and_then(Value::as_str).filter(|_| is_athena(arc))
}
