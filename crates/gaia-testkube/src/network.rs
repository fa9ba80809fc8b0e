//! The network of one cluster: a switch in a namespace of its own, and one cable from it to this machine.

use std::{net::Ipv4Addr, process::Command};

use crate::{machine, ward::Ward};

/// The addresses of a cluster are those of 10.N.0.0/16. Nothing on this machine is changed but for one interface, which
/// goes with the switch.
pub(crate) struct Network {
    number: u8,
    interface: String,
    switch: u32,
}

/// The numbers to choose from.
const NUMBERS: std::ops::RangeInclusive<u8> = 180..=250;

impl Network {
    /// Starts the switch and plugs this machine in.
    pub(crate) fn start(ward: &Ward) -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sleep", "infinity"]);
        let switch = ward.start("switch", &mut holder);
        machine::wait_for_namespace(switch);
        // The name of an interface is taken or free, so that two clusters never have the same number.
        let number = NUMBERS
            .filter(|number| !is_routed(*number))
            .find(|number| cable(*number, switch))
            .expect("one of 10.180.0.0/16 to 10.250.0.0/16 is free, and its interface can be made");
        let network = Self {
            number,
            interface: interface(number),
            switch,
        };
        network.ip(&format!("address add {}/24 dev {}", network.host(), network.interface));
        network.ip(&format!("link set {} up", network.interface));
        network.in_switch("link add switch type bridge");
        network.in_switch("link set switch up");
        network.in_switch("link set host master switch up");
        network
    }

    /// This machine, as nodes and pods see it.
    pub(crate) fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 1)
    }

    pub(crate) fn node(&self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 10 + node)
    }

    pub(crate) fn pods_on(&self, node: u8) -> String {
        format!("10.{}.{}.0/24", self.number, 16 + node)
    }

    pub(crate) fn pods(&self) -> String {
        format!("10.{}.16.0/20", self.number)
    }

    pub(crate) fn services(&self) -> String {
        format!("10.{}.128.0/20", self.number)
    }

    pub(crate) fn service(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 128, number)
    }

    /// Plugs in a node by a process in its namespace, and lets this machine reach its pods.
    pub(crate) fn plug(&self, node: u8, process: u32) {
        // A port that a killed node leaves goes a moment later by itself. The address of the cable stays the same, so that
        // nobody has to forget it.
        self.in_switch_maybe(&format!("link delete node-{node}"));
        self.in_switch(&format!(
            "link add node-{node} type veth peer name eth0 address 02:00:00:00:00:{node:02x} netns {process}"
        ));
        self.in_switch(&format!("link set node-{node} master switch up"));
        self.ip(&format!("route replace {} via {}", self.pods_on(node), self.node(node)));
    }

    /// From this machine, services are reached through a node: it has the rules for them.
    pub(crate) fn route_services(&self, node: u8) {
        self.ip(&format!("route replace {} via {}", self.services(), self.node(node)));
    }

    fn ip(&self, arguments: &str) {
        let mut command = Command::new("ip");
        assert!(succeeds(command.args(arguments.split(' '))), "ip {arguments}");
    }

    fn in_switch(&self, arguments: &str) {
        assert!(self.in_switch_maybe(arguments), "in the switch: ip {arguments}");
    }

    fn in_switch_maybe(&self, arguments: &str) -> bool {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.switch)).arg("ip");
        succeeds(command.args(arguments.split(' ')))
    }
}

fn interface(number: u8) -> String {
    format!("gaia-kube-{number}")
}

fn is_routed(number: u8) -> bool {
    let routes = Command::new("ip").args(["route", "show"]).output().expect("ip runs");
    String::from_utf8_lossy(&routes.stdout).contains(&format!("10.{number}."))
}

fn cable(number: u8, switch: u32) -> bool {
    let line = format!("link add {} type veth peer name host netns {switch}", interface(number));
    succeeds(Command::new("ip").args(line.split(' ')))
}

/// What it says is of interest only where a test says so.
fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
