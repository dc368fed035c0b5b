//! A real Redis Cluster on ports of its own.

use super::redis::{Redis, free_port};
use super::wait::{WAIT_TIMEOUT, within};

/// The number of slots of every Redis Cluster.
const SLOTS: usize = 16_384;

/// Masters, and one replica of each if there are any.
pub(crate) struct RedisCluster {
    pub(crate) masters: Vec<Redis>,
    pub(crate) replicas: Vec<Redis>,
}

impl RedisCluster {
    /// Three masters with a replica each, the smallest cluster that survives the death of any node.
    pub(crate) fn of_six() -> Self {
        Self::with(&[], true)
    }

    /// Three masters with these further options.
    pub(crate) fn of_three(arguments: &[&str]) -> Self {
        Self::with(arguments, false)
    }

    fn with(arguments: &[&str], has_replicas: bool) -> Self {
        let node = || {
            let bus = free_port();
            let (tls_port, has_tls) = (free_port().to_string(), arguments.contains(&"--tls-cert-file"));
            let bus_text = bus.to_string();
            let mut options = vec!["--cluster-enabled", "yes", "--cluster-port", &bus_text];
            options.extend(["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]);
            if has_tls {
                options.extend(["--tls-port", &tls_port]);
            }
            options.extend(arguments);
            (Redis::with(&options), bus)
        };
        let nodes: Vec<(Redis, u16)> = (0..if has_replicas { 6 } else { 3 }).map(|_| node()).collect();
        let (first, _) = &nodes[0];
        for (number, (node, bus)) in nodes.iter().enumerate() {
            if number < 3 {
                let (from, to) = (number * SLOTS / 3, (number + 1) * SLOTS / 3 - 1);
                node.ask(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            }
            if number > 0 {
                first.ask(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus.to_string()]);
            }
        }
        let (mut masters, mut replicas): (Vec<Redis>, Vec<Redis>) = (Vec::new(), Vec::new());
        for (number, (node, _)) in nodes.into_iter().enumerate() {
            if number < 3 {
                masters.push(node);
            } else {
                replicas.push(node);
            }
        }
        let cluster = Self { masters, replicas };
        cluster.wait_until_it_is_ok();
        for (master, replica) in cluster.masters.iter().zip(&cluster.replicas) {
            let id = master.ask(&["CLUSTER", "MYID"]);
            within(WAIT_TIMEOUT, "the replica to know its master", || {
                (replica.ask(&["CLUSTER", "REPLICATE", &id]) == "OK").then_some(())
            });
        }
        for replica in &cluster.replicas {
            within(WAIT_TIMEOUT * 2, "the replica's first synchronization", || {
                replica
                    .ask(&["INFO", "replication"])
                    .contains("master_link_status:up")
                    .then_some(())
            });
        }
        cluster
    }

    fn nodes(&self) -> impl Iterator<Item = &Redis> {
        self.masters.iter().chain(&self.replicas)
    }

    /// Waits until every node that answers knows all nodes and a master for every slot.
    pub(crate) fn wait_until_it_is_ok(&self) {
        within(WAIT_TIMEOUT * 2, "the cluster to be complete", || {
            let known = format!("cluster_known_nodes:{}", self.nodes().count());
            self.nodes()
                .filter_map(|node| node.try_ask(&["CLUSTER", "INFO"]))
                .all(|info| info.contains("cluster_state:ok") && info.contains(&known))
                .then_some(())
        });
    }

    /// The key's slot.
    pub(crate) fn slot(&self, key: &str) -> usize {
        self.nodes()
            .find_map(|node| node.try_ask(&["CLUSTER", "KEYSLOT", key]))
            .unwrap()
            .parse()
            .unwrap()
    }

    /// The index of the master to which the slot was given first.
    pub(crate) fn first_owner(slot: usize) -> usize {
        (0..3).find(|number| slot < (number + 1) * SLOTS / 3).unwrap()
    }

    /// Moves a slot with its keys while clients use it, as `redis-cli --cluster reshard` does.
    pub(crate) fn move_slot(&self, slot: usize, to: usize) {
        let from = Self::first_owner(slot);
        let (from, to) = (&self.masters[from], &self.masters[to]);
        let (from_id, to_id) = (from.ask(&["CLUSTER", "MYID"]), to.ask(&["CLUSTER", "MYID"]));
        let slot = slot.to_string();
        assert_eq!(to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]), "OK");
        assert_eq!(from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]), "OK");
        for key in from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]).lines() {
            from.ask(&["MIGRATE", "127.0.0.1", &to.port.to_string(), key, "0", "5000"]);
        }
        for node in [to, from] {
            assert_eq!(node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]), "OK");
        }
    }

    /// The values of all keys on the masters that answer, sorted.
    pub(crate) fn values(&self) -> Vec<String> {
        let masters = self
            .nodes()
            .filter(|node| node.try_ask(&["ROLE"]).is_some_and(|role| role.starts_with("master")));
        let mut values: Vec<String> = masters
            .flat_map(|node| {
                node.keys()
                    .into_iter()
                    .map(|key| node.ask(&["GET", &key]))
                    .collect::<Vec<_>>()
            })
            .collect();
        values.sort();
        values
    }

    /// Waits until the values of all keys equal these.
    pub(crate) fn holds(&self, values: &[&str]) {
        within(WAIT_TIMEOUT, &format!("the values {values:?}"), || {
            (self.values() == values).then_some(())
        });
    }

    /// The URLs of the masters, as `replay.store` writes them.
    pub(crate) fn urls(&self) -> String {
        format!("{:?}", self.masters.iter().map(Redis::url).collect::<Vec<_>>())
    }
}
