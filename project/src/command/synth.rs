//! `arc synth`: the CloudFormation templates of a project, or of the bootstrap of its placement. Nothing is asked of AWS and
//! nothing is changed there.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use project::synth::{self, BootstrapOptions, Names, Network, ProjectNames, ProjectOptions, Stack};
use project::{Problem, Project, ProjectError, forms};

use super::{Context, Exit, ProjectArgs, Trouble};
use crate::logs;

/// Arguments of `arc synth`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One template is written to stdout as JSON; several need --out, or --stack for
one of them. On stderr: the stacks, what costs money while nothing arrives, and
what is left for you to do. Places of code are those that `arc deploy` will use,
without the hashes that only a build has.

Examples:
  arc synth -p lake.jsonnet                   the project's template
  arc synth -p lake.jsonnet --out templates   a file for each stack
  arc synth -p lake.jsonnet --bootstrap       stores, bus, network")]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
    /// Write a file for each stack into this folder instead of stdout.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Only the stack of this name.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Leave out all arcs and what runs them.
    #[arg(long)]
    exclude_all_arcs: bool,
    /// Leave out this arc; may be given more than once.
    #[arg(long, value_name = "NAME")]
    exclude_arc: Vec<String>,
    /// Only this resource of the project file.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["exclude_all_arcs", "exclude_arc"])]
    only_resource: Option<String>,
    /// The image of built-in workloads, instead of the one in the placement's registry. `{arch}` in it stands for arm64 or
    /// x86_64.
    #[arg(long, value_name = "URI")]
    image: Option<String>,
    /// Reserve no concurrency for the functions.
    #[arg(long)]
    no_reserved_concurrency: bool,
    /// Encrypt with this key, an ARN; with --bootstrap also `create`. Where the bootstrap has a key, give that one: nothing
    /// is asked of AWS here.
    #[arg(long, value_name = "KEY")]
    kms: Option<String>,
    /// The key of a bucket that is made elsewhere; may be given more than once. `arc deploy` asks the bucket.
    #[arg(long = "bucket-key", value_name = "BUCKET=ARN")]
    bucket_keys: Vec<String>,
    /// A tag for everything that takes tags; may be given more than once.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// The bootstrap of the placement instead of the project.
    #[arg(long, conflicts_with_all = ["exclude_all_arcs", "exclude_arc", "only_resource", "image", "no_reserved_concurrency", "bucket_keys"])]
    bootstrap: bool,
    #[command(flatten)]
    network: NetworkArgs,
}

/// The network of a bootstrap.
#[derive(Debug, clap::Args)]
pub struct NetworkArgs {
    /// Subnets with a way out to the internet and none in, which cost nothing: what is made where nothing else is said.
    #[arg(long, conflicts_with_all = ["private", "subnet", "security_group"])]
    public: bool,
    /// Subnets without internet, with an endpoint for each service; endpoints cost money by the hour.
    #[arg(long, conflicts_with_all = ["subnet", "security_group"])]
    private: bool,
    /// A subnet that is there already; may be given more than once.
    #[arg(long, value_name = "ID", requires = "security_group")]
    subnet: Vec<String>,
    /// A security group for jobs in given subnets; may be given more than once.
    #[arg(long, value_name = "ID", requires = "subnet")]
    security_group: Vec<String>,
    /// The addresses of the network that is made; 10.64.0.0/16 where not given.
    #[arg(long, value_name = "CIDR", conflicts_with_all = ["subnet", "security_group"])]
    cidr: Option<String>,
}

impl NetworkArgs {
    /// Refuses addresses that no network can have, and ids that nothing has.
    pub fn check(&self) -> Result<(), Trouble> {
        for (option, prefix, ids) in [("--subnet", "subnet-", &self.subnet), ("--security-group", "sg-", &self.security_group)] {
            for id in ids {
                forms::network_id(id, prefix).map_err(|message| Trouble::usage(format!("{option}: {message}")))?;
            }
        }
        match self.cidr.as_deref().map(|cidr| synth::subnet_blocks(cidr, 1)) {
            Some(Err(message)) => Err(Trouble::usage(format!("--cidr: {message}"))),
            _ => Ok(()),
        }
    }

    /// The addresses of the network that is made.
    pub fn cidr(&self) -> Option<String> {
        self.cidr.clone()
    }

    fn is_given(&self) -> bool {
        self.chosen().is_some() || self.cidr.is_some()
    }

    /// The kind of network that is asked for; `None` where nothing is.
    pub fn chosen(&self) -> Option<Network> {
        (self.public || self.private || !self.subnet.is_empty()).then(|| self.network())
    }

    /// As the bootstrap takes it.
    pub fn network(&self) -> Network {
        match (self.private, self.subnet.is_empty()) {
            (true, _) => Network::Private,
            (false, true) => Network::Public,
            (false, false) => Network::Given { subnets: self.subnet.clone(), security_groups: self.security_group.clone() },
        }
    }
}

/// Writes the templates.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let (project, names) = super::deploy::load(&args.project)?;
    if !args.bootstrap && args.kms.as_deref() == Some(synth::CREATE_KEY) {
        return Err(Trouble::usage("--kms create makes a key in the bootstrap").next("the ARN that the bootstrap puts out").into());
    }
    if let Some(key) = args.kms.as_deref().filter(|key| *key != synth::CREATE_KEY) {
        super::keys::check(&names.placement, key)?;
    }
    args.network.check()?;
    if !args.bootstrap && args.network.is_given() {
        return Err(Trouble::usage("the network is the bootstrap's").next("--bootstrap, or the same without the network").into());
    }
    let tags = tags(&args.tags)?;
    let (stacks, notes) = match args.bootstrap {
        true => {
            let given = args.kms.iter().filter(|key| *key != synth::CREATE_KEY);
            let notes = given.map(|key| synth::key_note(&names.placement, key)).collect();
            (vec![bootstrap(&args, &names.placement, tags)], notes)
        }
        false => of_project(&args, &project, &names, tags)?,
    };
    let chosen = chosen(&args, &stacks)?;
    if !context.quiet {
        summarise(&stacks, &notes);
    }
    match &args.out {
        Some(folder) => write_files(folder, &chosen, context.quiet)?,
        None => write_one(&chosen)?,
    }
    Ok(Exit::Done)
}

/// Tags as the command line gives them.
pub fn tags(given: &[String]) -> Result<BTreeMap<String, String>, Trouble> {
    let wrong = |message: String| Trouble::usage(format!("--tag: {message}"));
    let mut tags = Vec::new();
    for text in given {
        let (key, value) = text.split_once('=').ok_or_else(|| wrong(format!("`{text}` is no tag: use KEY=VALUE")))?;
        forms::tag(key, value).map_err(wrong)?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    forms::tag_keys(tags.iter().map(|tag| tag.0.as_str())).map_err(wrong)?;
    Ok(tags.into_iter().collect())
}

fn bootstrap(args: &Args, names: &Names, tags: BTreeMap<String, String>) -> Stack {
    let usual = BootstrapOptions::new(names.clone());
    synth::bootstrap(&BootstrapOptions {
        network: args.network.network(),
        vpc_cidr: args.network.cidr(),
        kms: args.kms.clone(),
        tags,
        ..usual
    })
}

fn of_project(
    args: &Args,
    project: &Project,
    names: &ProjectNames,
    tags: BTreeMap<String, String>,
) -> anyhow::Result<(Vec<Stack>, Vec<Problem>)> {
    let options = ProjectOptions {
        exclude_all_arcs: args.exclude_all_arcs,
        exclude_arcs: args.exclude_arc.clone(),
        only_resource: args.only_resource.clone(),
        image: args.image.clone(),
        kms_key: args.kms.clone(),
        bucket_keys: super::keys::of_arguments(&names.placement, &args.bucket_keys)?,
        no_reserved_concurrency: args.no_reserved_concurrency,
        tags,
        ..ProjectOptions::preview(names)
    };
    let problems = |problems| super::usage(ProjectError::Problems { path: args.project.project.display().to_string(), problems });
    let stacks = synth::project(project, &options).map_err(problems)?;
    Ok((stacks, synth::notes(project, &options)))
}

fn chosen<'a>(args: &Args, stacks: &'a [Stack]) -> Result<Vec<&'a Stack>, Trouble> {
    let listed = || stacks.iter().map(|stack| stack.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(name) = &args.stack else {
        return match (&args.out, stacks.len()) {
            (None, 2..) => Err(Trouble::usage(format!("there are {} stacks", stacks.len()))
                .next("--out FOLDER, or --stack with one of them: ".to_owned() + &listed())),
            _ => Ok(stacks.iter().collect()),
        };
    };
    let found: Vec<&Stack> = stacks.iter().filter(|stack| stack.name == *name).collect();
    match found.is_empty() {
        true => Err(Trouble::not_found(format!("there is no stack `{name}`")).next(format!("--stack with one of {}", listed()))),
        false => Ok(found),
    }
}

fn write_one(stacks: &[&Stack]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for stack in stacks {
        serde_json::to_writer_pretty(&mut stdout, &stack.template).map_err(std::io::Error::from)?;
        stdout.write_all(b"\n")?;
    }
    Ok(())
}

fn write_files(folder: &Path, stacks: &[&Stack], is_quiet: bool) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for stack in stacks {
        let path = folder.join(format!("{}.template.json", stack.name));
        let text = serde_json::to_string_pretty(&stack.template)? + "\n";
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        if !is_quiet {
            logs::say(&format!("wrote {}", path.display()));
        }
    }
    Ok(())
}

/// Says the stacks, what they cost at rest, and what is left to do.
pub fn summarise(stacks: &[Stack], notes: &[Problem]) {
    for stack in stacks {
        let count = stack.template["Resources"].as_object().map_or(0, serde_json::Map::len);
        let after = if stack.after.is_empty() { String::new() } else { format!(", after {}", stack.after.join(", ")) };
        logs::say(&format!("stack {}: {count} resources{after}", stack.name));
    }
    let costs = synth::cost_at_rest(stacks);
    let sum: f64 = costs.iter().map(|line| line.usd_month).sum();
    match costs.is_empty() {
        true => logs::say("cost at rest: nothing"),
        false => {
            logs::say(&format!("cost at rest: {sum:.2} USD a month (list prices of {}, {})", synth::PRICES_AS_OF, synth::PRICES_SOURCE))
        }
    }
    for line in &costs {
        logs::say(&format!("  {:>8.2}  {}: {}", line.usd_month, line.resource, line.why));
    }
    notes.iter().for_each(super::verify::tell);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_ids_are_judged() {
        let said =
            |given: &[&str]| tags(&given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).map_err(|trouble| trouble.message);
        assert_eq!(said(&["team=web=1", "cost centre="]).unwrap().len(), 2);
        assert_eq!(said(&["team"]).unwrap_err(), "--tag: `team` is no tag: use KEY=VALUE");
        assert!(said(&["a*b=c"]).unwrap_err().starts_with("--tag: `a*b` is no key of a tag"));
        assert!(said(&["Team=a", "team=b"]).unwrap_err().contains("differ in case alone"));
        let network = |subnet: &str, group: &str| NetworkArgs {
            public: false,
            private: false,
            subnet: vec![subnet.to_owned()],
            security_group: vec![group.to_owned()],
            cidr: None,
        };
        assert!(network("subnet-0123456789abcdef0", "sg-01234567").check().is_ok());
        assert!(network("hello", "sg-01234567").check().unwrap_err().message.starts_with("--subnet: `hello` is no id"));
        assert!(network("subnet-01234567", "nope").check().unwrap_err().message.starts_with("--security-group: `nope` is no id"));
    }
}
