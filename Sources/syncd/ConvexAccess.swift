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

    private static func key(_ settings: Settings) throws -> ConvexKey {
        let found = try settings.secret(
            "Convex's deploy key", file: "convex-key-file", variable: keyVariable)
        guard let found else {
            throw Trouble(
                "A store in Convex wants a deploy key: make one in the deployment's settings, and "
                    + "give it by \(keyVariable), or name a file that holds it by "
                    + "SYNCD_CONVEX_KEY_FILE.", code: .configuration)
        }
        guard let key = ConvexKey(found.text) else {
            throw Trouble(
                "\(found.source) holds no deploy key of Convex, which is one word without spaces; "
                    + "copy it from the deployment's settings.", code: .configuration)
        }
        return key
    }
}
