import Foundation
import SyncCore
import SyncSandbox

/// How the command learns to reach E2B: by the variables of E2B's own SDK, or by settings.
enum E2BSettings {
    /// The configuration; nil when nobody gives a key: then the worker has no such sandboxes.
    static func configuration(
        _ settings: Settings, _ sizes: PortSizes
    ) throws -> E2BConfiguration? {
        guard let key = try key(settings) else { return nil }
        var configuration = E2BConfiguration(key: key)
        if let domain = settings.text("e2b-domain", nil) ?? variable("E2B_DOMAIN") {
            configuration.domain = domain
        }
        configuration.apiURL = try url(settings, "e2b-api-url", "E2B_API_URL")
        configuration.sandboxURL = try url(settings, "e2b-sandbox-url", "E2B_SANDBOX_URL")
        configuration.life = sizes.e2bLife
        return configuration
    }

    private static func key(_ settings: Settings) throws -> E2BKey? {
        let found = try settings.secret(
            "E2B's API key", file: "e2b-key-file", variable: "E2B_API_KEY")
        guard let found else { return nil }
        guard let key = E2BKey(found.text) else {
            throw Trouble(
                "\(found.source) holds no API key of E2B, which is 'e2b_' and hexadecimal digits; "
                    + "copy it from the team's settings.", code: .configuration)
        }
        return key
    }

    /// An address that no one on the way can listen to.
    private static func url(
        _ settings: Settings, _ key: String, _ name: String
    ) throws -> String? {
        guard let text = settings.text(key, nil) ?? variable(name) else { return nil }
        let url = URL(string: text)
        let host = url?.host ?? ""
        let isHere = host == "localhost" || host == "::1" || isLoopback(host)
        let isInsecure = try settings.flag("insecure", false)
        let isPrivate = url?.scheme == "https" || url?.scheme == "http" && (isHere || isInsecure)
        guard !host.isEmpty, isPrivate else {
            throw Trouble(
                "\(key) (\(name)) must be an https:// address, or http:// on this machine: the API "
                    + "key and the files go there.", code: .configuration)
        }
        return text
    }

    /// Whether it is an address of this machine, and not a name that begins like one.
    private static func isLoopback(_ host: String) -> Bool {
        var address = in_addr()
        return host.hasPrefix("127.") && inet_pton(AF_INET, host, &address) == 1
    }

    private static func variable(_ name: String) -> String? {
        ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}
