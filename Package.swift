// swift-tools-version: 6.2

import PackageDescription

/// `deploy/check` lets a warning end the build; else one in a toolchain to come would stop
/// everybody.
let strictness: [SwiftSetting] =
    Context.environment["SYNCD_WARNINGS_AS_ERRORS"] == nil ? [] : [.treatAllWarnings(as: .error)]

/// One list for every Swift target.
///
/// The proposal of each feature is named beside it;
/// TidyTests checks that the compiler knows the spelling, because it ignores unknown ones silently.
let settings: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),  // SE-0335
        .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
        .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),  // SE-0461
        .enableUpcomingFeature("InferIsolatedConformances"),  // SE-0470
        .enableUpcomingFeature("ImmutableWeakCaptures"),  // SE-0481
    ] + strictness

let package = Package(
    name: "syncd",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "syncd", targets: ["syncd"]),
        .executable(name: "SyncBench", targets: ["SyncBench"]),
        .library(name: "SyncClient", targets: ["SyncClient"]),
        .executable(name: "SyncSim", targets: ["SyncSim"]),
        .executable(name: "SyncTorture", targets: ["SyncTorture"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(
            url: "https://github.com/apple/swift-configuration", from: "1.4.0",
            traits: [.defaults, "JSON"]),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // Without pkgConfig: Debian's libzmq.pc names -isystem flags that SwiftPM refuses with a
        // warning.
        .systemLibrary(name: "CLibZMQ", providers: [.apt(["libzmq3-dev"])]),
        .systemLibrary(name: "CLibPQ", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CLinux"),
        .target(
            name: "SyncCore",
            dependencies: [
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: settings),
        .target(name: "ZeroMQ", dependencies: ["CLibZMQ", "CLinux"], swiftSettings: settings),
        .target(
            name: "SyncTransport",
            dependencies: [
                "SyncCore", "ZeroMQ",
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: settings),
        .target(
            name: "SyncStore",
            dependencies: [
                "SyncCore", "CLibPQ", .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .target(
            name: "SyncSandbox",
            dependencies: [
                "SyncCore", "CLinux",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .target(
            name: "SyncCoordinator",
            dependencies: [
                "SyncCore", "SyncTransport", "ZeroMQ",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .target(
            name: "SyncWorker",
            dependencies: [
                "SyncCore", "SyncTransport", "ZeroMQ",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .target(
            name: "SyncClient", dependencies: ["SyncCore", "SyncTransport", "ZeroMQ"],
            swiftSettings: settings),
        .executableTarget(
            name: "syncd",
            dependencies: [
                "CLinux", "SyncCore", "SyncTransport", "SyncStore", "SyncSandbox",
                "SyncCoordinator", "SyncWorker", "ZeroMQ",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "SyncBench",
            dependencies: [
                "SyncCore", "SyncSandbox", "SyncStore", "SyncTransport", "SyncWorker", "ZeroMQ",
                "syncd", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "SyncSimulator",
            dependencies: [
                "SyncCore", .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "SyncSim",
            dependencies: [
                "SyncCore", "SyncSimulator",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),
        .target(
            name: "SyncTestKit",
            dependencies: [
                "CLinux", "SyncCore", "SyncSimulator", "SyncTransport", "ZeroMQ",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Tests/SyncTestKit", swiftSettings: settings),
        .executableTarget(
            name: "SyncTorture",
            dependencies: [
                "syncd", "SyncCore", "SyncSimulator", "SyncStore", "SyncTestKit", "SyncTransport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Tests/SyncTorture", swiftSettings: settings),
        .testTarget(
            name: "SyncCoreTests", dependencies: ["SyncCore", "SyncTestKit"],
            swiftSettings: settings),
        .testTarget(
            name: "ZeroMQTests", dependencies: ["ZeroMQ", "CLibZMQ", "SyncTestKit"],
            swiftSettings: settings),
        .testTarget(
            name: "SyncTransportTests",
            dependencies: ["SyncTransport", "SyncCore", "SyncTestKit", "ZeroMQ"],
            swiftSettings: settings),
        .testTarget(
            name: "SyncStoreTests", dependencies: ["SyncStore", "SyncCore", "SyncTestKit"],
            swiftSettings: settings),
        .testTarget(
            name: "SyncSandboxTests", dependencies: ["SyncSandbox", "SyncCore", "SyncTestKit"],
            swiftSettings: settings),
        .testTarget(
            name: "SyncWorkerTests", dependencies: ["SyncWorker", "SyncCore", "SyncTestKit"],
            swiftSettings: settings),
        .testTarget(
            name: "SyncCoordinatorTests",
            dependencies: [
                "SyncCoordinator", "SyncCore", "SyncTransport", "SyncTestKit", "ZeroMQ",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SyncClientTests",
            dependencies: ["SyncClient", "SyncCore", "SyncTransport", "SyncTestKit"],
            swiftSettings: settings),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "syncd", "SyncCore", "SyncTransport", "SyncStore", "SyncTestKit",
                "SyncCoordinator", "SyncTorture", "ZeroMQ",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "SyncSimulatorTests", dependencies: ["SyncSimulator", "SyncSim", "SyncTestKit"],
            swiftSettings: settings),
        .testTarget(name: "TidyTests", dependencies: ["SyncTestKit"], swiftSettings: settings),
    ]
)
