import Foundation
import SyncStore

/// How the command learns to reach a store in Convex.
enum ConvexAccess {
    private static let keyVariable = "SYNCD_CONVEX_KEY"

    /// How a store is used, with the key if it lies in Convex.
    static func storeSettings(
        _ url: StoreURL, _ settings: Settings, _ sizes: PortSizes = PortSizes()
    ) throws -> StoreSettings {
        var store = StoreSettings()
        store.versionsKept = sizes.versions
        store.convexRequestsMax = sizes.convexRequests
        guard case .convex(let place) = url else { return store }
        guard try place.isPrivate || settings.flag("insecure", false) else {
            throw Trouble(
                "The store's URL must be an https:// address, or http:// on this machine: the "
                    + "deploy key and the files go there. SYNCD_INSECURE=true allows any.",
                code: .configuration)
        }
        store.convexKey = try key(settings)
        return store
    }

    /// The key, from the environment or from a file; never from a flag, which others can read.
    private static func key(_ settings: Settings) throws -> ConvexKey {
        let source: String
        let text: String
        if let file = settings.text("convex-key-file", nil) {
            guard let found = try? String(contentsOfFile: file, encoding: .utf8) else {
                throw Trouble(
                    "The file \(file) with Convex's deploy key can't be read; make it readable for "
                        + "this user, or name another one by SYNCD_CONVEX_KEY_FILE.",
                    code: .configuration)
            }
            (source, text) = (file, found)
        } else {
            let found = ProcessInfo.processInfo.environment[keyVariable] ?? ""
            guard !found.isEmpty else {
                throw Trouble(
                    "A store in Convex wants a deploy key: make one in the deployment's settings, "
                        + "and give it by \(keyVariable), or name a file that holds it by "
                        + "SYNCD_CONVEX_KEY_FILE.", code: .configuration)
            }
            (source, text) = (keyVariable, found)
        }
        guard let key = ConvexKey(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw Trouble(
                "\(source) holds no deploy key of Convex, which is one word without spaces; copy "
                    + "it from the deployment's settings.", code: .configuration)
        }
        return key
    }
}
