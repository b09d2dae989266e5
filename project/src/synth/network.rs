//! The network that jobs run in. What is asked for flows in; parts, and what project stacks import of them, flow out.
//!
//! Nothing can be connected to from outside in any of the three. Public subnets cost nothing: there is no NAT gateway, a
//! job has an address of its own while it runs, and what it reads and writes goes through the gateway endpoint of S3.

use serde_json::{Value, json};

use super::names::Names;
use super::part::{Parts, arn_of, reference};

/// The addresses of a network that is made, where nothing else is said.
pub const CIDR_DEFAULT: &str = "10.64.0.0/16";
/// Regions where an account may find two zones only.
const TWO_ZONES: [&str; 1] = ["us-west-1"];
/// Bits of a subnet's addresses: 4,096 of them.
const SUBNET_BITS: u32 = 12;
/// Services that jobs in private subnets speak to, beside S3. Functions are not in the network and need none.
pub(crate) const INTERFACES: [&str; 7] = ["ecr.api", "ecr.dkr", "logs", "events", "glue", "athena", "ssm"];

/// Which network jobs run in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Subnets with a way out to the internet and none in.
    #[default]
    Public,
    /// Subnets without internet, with an endpoint for each service: every endpoint costs money by the hour.
    Private,
    /// Subnets that are there already; their jobs get no public address.
    Given {
        /// Their ids.
        subnets: Vec<String>,
        /// Ids of security groups.
        security_groups: Vec<String>,
    },
}

/// What project stacks import.
pub(crate) struct Exported {
    /// Ids with commas between.
    pub subnets: Value,
    /// Ids with commas between.
    pub security_groups: Value,
    /// `ENABLED` or `DISABLED`.
    pub assign_public_ip: &'static str,
}

/// Adds the network.
pub(crate) fn add(parts: &mut Parts, names: &Names, network: &Network, cidr: &str) -> Exported {
    let zones = match network {
        Network::Given { subnets, security_groups } => {
            return Exported {
                subnets: subnets.join(",").into(),
                security_groups: security_groups.join(",").into(),
                assign_public_ip: "DISABLED",
            };
        }
        Network::Public if !TWO_ZONES.contains(&names.region.as_str()) => 3,
        _ => 2,
    };
    let stack = names.bootstrap_stack();
    let named = |name: &str| json!([{"Key": "Name", "Value": format!("{stack}-{name}")}]);
    let vpc = json!({"CidrBlock": cidr, "EnableDnsSupport": true, "EnableDnsHostnames": true, "Tags": named("vpc")});
    parts.leaf("Vpc", "AWS::EC2::VPC", vpc);
    parts.leaf("Routes", "AWS::EC2::RouteTable", json!({"VpcId": reference("Vpc"), "Tags": named("routes")}));
    let subnets = add_subnets(parts, zones, &named);

    let group = json!({
        "GroupDescription": "Jobs of Arclake: no way in, all ways out", "VpcId": reference("Vpc"), "SecurityGroupIngress": [],
        "SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": "out"}], "Tags": named("jobs"),
    });
    parts.leaf("JobsGroup", "AWS::EC2::SecurityGroup", group);
    let gateway = json!({
        "VpcId": reference("Vpc"), "VpcEndpointType": "Gateway", "RouteTableIds": [reference("Routes")],
        "ServiceName": service(names, "s3"), "Tags": named("s3"),
    });
    parts.leaf("S3Endpoint", "AWS::EC2::VPCEndpoint", gateway);
    match network {
        Network::Private => add_interfaces(parts, names, &subnets, &named),
        _ => add_internet(parts, &named),
    }
    Exported {
        subnets: json!({"Fn::Join": [",", subnets.iter().map(|id| reference(id)).collect::<Vec<_>>()]}),
        security_groups: json!({"Fn::GetAtt": ["JobsGroup", "GroupId"]}),
        assign_public_ip: if *network == Network::Private { "DISABLED" } else { "ENABLED" },
    }
}

fn add_subnets(parts: &mut Parts, zones: usize, named: &dyn Fn(&str) -> Value) -> Vec<String> {
    let subnets: Vec<String> = (1..=zones).map(|zone| format!("Subnet{zone}")).collect();
    for (at, id) in subnets.iter().enumerate() {
        let subnet = json!({
            "VpcId": reference("Vpc"),
            "AvailabilityZone": {"Fn::Select": [at, {"Fn::GetAZs": ""}]},
            "CidrBlock": {"Fn::Select": [at, {"Fn::Cidr": [{"Fn::GetAtt": ["Vpc", "CidrBlock"]}, zones, SUBNET_BITS]}]},
            "MapPublicIpOnLaunch": false,
            "Tags": named(&format!("subnet-{}", at + 1)),
        });
        parts.leaf(id, "AWS::EC2::Subnet", subnet);
        let association = json!({"SubnetId": reference(id), "RouteTableId": reference("Routes")});
        parts.leaf(&format!("{id}Routes"), "AWS::EC2::SubnetRouteTableAssociation", association);
    }
    subnets
}

fn service(names: &Names, service: &str) -> String {
    let front = if names.partition() == "aws-cn" && service != "s3" { "cn.com.amazonaws" } else { "com.amazonaws" };
    format!("{front}.{}.{service}", names.region)
}

fn add_internet(parts: &mut Parts, named: &dyn Fn(&str) -> Value) {
    parts.leaf("Internet", "AWS::EC2::InternetGateway", json!({"Tags": named("internet")}));
    let attachment = json!({"VpcId": reference("Vpc"), "InternetGatewayId": reference("Internet")});
    parts.leaf("InternetAttachment", "AWS::EC2::VPCGatewayAttachment", attachment);
    let route = json!({"RouteTableId": reference("Routes"), "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": reference("Internet")});
    parts.leaf("InternetRoute", "AWS::EC2::Route", route).after(["InternetAttachment".to_owned()]);
}

fn add_interfaces(parts: &mut Parts, names: &Names, subnets: &[String], named: &dyn Fn(&str) -> Value) {
    let from_jobs = json!([{
        "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Description": "jobs",
        "SourceSecurityGroupId": {"Fn::GetAtt": ["JobsGroup", "GroupId"]},
    }]);
    let group = json!({
        "GroupDescription": "Endpoints of services, for jobs of Arclake", "VpcId": reference("Vpc"),
        "SecurityGroupIngress": from_jobs, "Tags": named("endpoints"),
    });
    parts.leaf("EndpointsGroup", "AWS::EC2::SecurityGroup", group);
    for interface in INTERFACES {
        let properties = json!({
            "VpcId": reference("Vpc"), "VpcEndpointType": "Interface", "ServiceName": service(names, interface),
            "PrivateDnsEnabled": true, "SubnetIds": subnets.iter().map(|id| reference(id)).collect::<Vec<_>>(),
            "SecurityGroupIds": [{"Fn::GetAtt": ["EndpointsGroup", "GroupId"]}], "Tags": named(interface),
        });
        parts.leaf(&format!("{}Endpoint", super::logical(interface)), "AWS::EC2::VPCEndpoint", properties);
    }
}

/// The key that everything is encrypted with, where the bootstrap makes one.
pub(crate) fn add_key(parts: &mut Parts, names: &Names, id: &str) {
    let account = json!({"StringEquals": {"aws:SourceAccount": names.account}});
    let suffix = names.url_suffix();
    let services = ["s3", "events", "sns", "sqs", "cloudwatch"].map(|service| format!("{service}.amazonaws.com"));
    let logs = json!({"ArnLike": {"kms:EncryptionContext:aws:logs:arn": names.arn("logs", "*")}});
    let statements = vec![
        json!({
            "Sid": "Account", "Effect": "Allow", "Principal": {"AWS": format!("arn:{}:iam::{}:root", names.partition(), names.account)},
            "Action": "kms:*", "Resource": "*",
        }),
        json!({
            "Sid": "Services", "Effect": "Allow", "Principal": {"Service": services},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*", "Condition": account,
        }),
        json!({
            "Sid": "Logs", "Effect": "Allow", "Principal": {"Service": format!("logs.{}.{suffix}", names.region)},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "Resource": "*", "Condition": logs,
        }),
    ];
    let properties = json!({
        "Description": format!("What Arclake keeps in {}", names.bootstrap_stack()), "EnableKeyRotation": true,
        "KeyPolicy": super::iam::document(statements),
    });
    parts.leaf(id, "AWS::KMS::Key", properties).retained();
    parts.output("Key", "The key that everything is encrypted with", exported(names, "key", arn_of(id)));
}

/// An output that project stacks import.
pub(crate) fn exported(names: &Names, what: &str, value: Value) -> Value {
    json!({"Value": value, "Export": names.export(what)})
}
