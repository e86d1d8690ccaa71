/// Whether a commit waits for the disk.
package enum Durability: Sendable {
    /// `synchronous=FULL`: a commit that returned survives a power cut.
    case full
    /// `synchronous=NORMAL`: it may not. Only for the test that shows that FULL matters (trace A7).
    case normal
}

/// How an SQLite file is used; the defaults are what the promises need.
package struct SQLiteOptions: Sendable {
    /// Whether a commit waits for the disk.
    package var durability: Durability
    /// How long a call waits for another process that holds the file.
    package var busyTimeout: Duration
    /// Pages in the write-ahead log past which it is copied into the database, 8 KiB each.
    package var checkpointPages: Int
    /// Most pages that the database file may have; nil: until the disk is full.
    package var pagesMax: Int?
    /// Most bytes of each of the two files that a journal's turns go into first; 0: none.
    package var turnLogBytesMax: Int
    /// How long a writer of a shared store waits for its turn before it goes on without one.
    package var turnPatience: Duration

    /// Describes how a file is used.
    package init(
        durability: Durability = .full, busyTimeout: Duration = .seconds(5),
        checkpointPages: Int = 1_000, pagesMax: Int? = nil, turnLogBytesMax: Int = 64 << 20,
        turnPatience: Duration = .seconds(1)
    ) {
        self.durability = durability
        self.busyTimeout = busyTimeout
        self.checkpointPages = checkpointPages
        self.pagesMax = pagesMax
        self.turnLogBytesMax = turnLogBytesMax
        self.turnPatience = turnPatience
    }
}
