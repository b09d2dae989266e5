//! The network that jobs run in. What is asked for flows in; parts, and what project stacks import of them, flow out.
//!
//! Nothing can be connected to from outside in any of the three. Public subnets cost nothing: there is no NAT gateway, a
//! job has an address of its own while it runs, and what it reads and writes goes through the gateway endpoint of S3.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::names::Names;
use super::part::{Parts, reference};

/// The addresses of a network that is made, where nothing else is said.
pub const CIDR_DEFAULT: &str = "10.64.0.0/16";
/// Regions where an account may find two zones only.
const TWO_ZONES: [&str; 1] = ["us-west-1"];
/// Bits of a subnet's addresses: 4,096 of them.
const SUBNET_BITS: u32 = 12;
/// Bits that a network has in common: VPCs have 16 or more, and three subnets have to find room.
const NETWORK_BITS: RangeInclusive<u32> = 16..=18;
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
    let subnets = add_subnets(parts, zones, cidr, &named);

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

/// The addresses of `zones` subnets, from the beginning of a network such as `10.64.0.0/16` on. Fails with what is wrong.
pub fn subnet_blocks(cidr: &str, zones: u32) -> Result<Vec<String>, String> {
    let wrong = || format!("`{cidr}` is no network: use one such as {CIDR_DEFAULT}");
    let (address, bits) = cidr.split_once('/').ok_or_else(wrong)?;
    let address: u32 = address.parse::<Ipv4Addr>().map_err(|_| wrong())?.into();
    let bits: u32 = bits.parse().ok().filter(|bits| NETWORK_BITS.contains(bits)).ok_or_else(|| {
        format!(
            "`{cidr}` must have from {} to {} bits: VPCs are no larger, and its subnets have {} each",
            NETWORK_BITS.start(),
            NETWORK_BITS.end(),
            32 - SUBNET_BITS
        )
    })?;
    if address & (u32::MAX >> bits) != 0 {
        return Err(format!("`{cidr}` has an address inside the network, and not its first"));
    }
    Ok((0..zones).map(|zone| format!("{}/{}", Ipv4Addr::from(address + (zone << SUBNET_BITS)), 32 - SUBNET_BITS)).collect())
}

fn add_subnets(parts: &mut Parts, zones: usize, cidr: &str, named: &dyn Fn(&str) -> Value) -> Vec<String> {
    let blocks = u32::try_from(zones).map_err(|error| error.to_string()).and_then(|zones| subnet_blocks(cidr, zones));
    let blocks = blocks.unwrap_or_default();
    let subnets: Vec<String> = (1..=zones).map(|zone| format!("Subnet{zone}")).collect();
    for (at, id) in subnets.iter().enumerate() {
        let subnet = json!({
            "VpcId": reference("Vpc"),
            "AvailabilityZone": {"Fn::Select": [at, {"Fn::GetAZs": ""}]},
            "CidrBlock": blocks.get(at),
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

/// An output that project stacks import.
pub(crate) fn exported(names: &Names, what: &str, value: Value) -> Value {
    json!({"Value": value, "Export": names.export(what)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn subnets_of_networks() {
        let said = ["10.64.0.0/16", "172.16.64.0/18", "10.0.0.0/8", "10.0.0.1/16", "10.0.0.0", "ten/16", "10.0.0.0/99"]
            .map(|cidr| format!("{:?}", subnet_blocks(cidr, 3)));
        expect![[r#"
            Ok(["10.64.0.0/20", "10.64.16.0/20", "10.64.32.0/20"])
            Ok(["172.16.64.0/20", "172.16.80.0/20", "172.16.96.0/20"])
            Err("`10.0.0.0/8` must have from 16 to 18 bits: VPCs are no larger, and its subnets have 20 each")
            Err("`10.0.0.1/16` has an address inside the network, and not its first")
            Err("`10.0.0.0` is no network: use one such as 10.64.0.0/16")
            Err("`ten/16` is no network: use one such as 10.64.0.0/16")
            Err("`10.0.0.0/99` must have from 16 to 18 bits: VPCs are no larger, and its subnets have 20 each")"#]]
        .assert_eq(&said.join("\n"));
    }
}
