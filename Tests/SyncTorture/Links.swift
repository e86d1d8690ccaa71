import SyncTestKit

/// Networks of their own for some workers, each joined to the coordinator's by one link.
///
/// Everything lies in the namespaces of this program and ends with it.
struct Links {
    /// How many there are.
    let count: Int

    /// Makes the namespaces, the links and one chain of rules for each way of each link.
    init(count: Int) throws {
        self.count = count
        for link in 0..<count {
            try Self.ip("netns add n\(link)")
            try Self.ip("link add v\(link) type veth peer name eth0 netns n\(link)")
            try Self.ip("addr add 10.77.\(link).1/24 dev v\(link)")
            try Self.ip("link set v\(link) up")
            try Self.ip("-n n\(link) addr add 10.77.\(link).2/24 dev eth0")
            try Self.ip("-n n\(link) link set eth0 up")
            try Self.ip("-n n\(link) link set lo up")
            for (chain, way) in [("in", "INPUT -i"), ("out", "OUTPUT -o")] {
                try Self.tables("-N \(chain)\(link)")
                try Self.tables("-A \(way) v\(link) -j \(chain)\(link)")
            }
        }
    }

    /// Where the worker behind a link finds the coordinator.
    func endpoint(_ link: Int, port: Int) -> String { "tcp://10.77.\(link).1:\(port)" }

    /// What starts a worker behind a link.
    func launcher(_ link: Int) -> [String] { ["nsenter", "--net=/run/netns/n\(link)"] }

    /// Takes the link down.
    func cut(_ link: Int) throws { try Self.ip("link set v\(link) down") }

    /// Drops everything that goes one way.
    func deafen(_ link: Int, inbound: Bool) throws {
        try Self.tables("-A \(inbound ? "in" : "out")\(link) -j DROP")
    }

    /// Drops some of what goes either way.
    func lose(_ link: Int, percent: Int) throws {
        for chain in ["in", "out"] {
            try Self.tables(
                "-A \(chain)\(link) -m statistic --mode random --probability "
                    + "0.\(percent < 10 ? "0" : "")\(percent) -j DROP")
        }
    }

    /// Makes the link whole again.
    func mend(_ link: Int) throws {
        try Self.ip("link set v\(link) up")
        try Self.tables("-F in\(link)")
        try Self.tables("-F out\(link)")
    }

    private static func ip(_ words: String) throws {
        try SystemTool.run("ip", words.split(separator: " ").map(String.init))
    }

    private static func tables(_ words: String) throws {
        try SystemTool.run("iptables", ["-w"] + words.split(separator: " ").map(String.init))
    }
}
