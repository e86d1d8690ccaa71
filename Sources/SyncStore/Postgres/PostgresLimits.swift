/// Times and sizes of a store in PostgreSQL.
package struct PostgresLimits: Sendable {
    /// Connections of one store; the first is opened at once, others when calls overlap.
    package var connectionsMax = 4
    /// Time for one address of the server to let us in, whole seconds, at least 2.
    package var connectWait: Duration = .seconds(4)
    /// Time for a whole call, from a session in hand; past it the session is given up.
    ///
    /// With ``sessionWait`` it is the time of a whole batch, too, below a worker's attempt deadline
    /// (30 s), so that its files are given back with the reason.
    package var answerWait: Duration = .seconds(20)
    /// After how long the server itself ends a statement; below ``answerWait``.
    package var statementWait: Duration = .seconds(15)
    /// A call that got no session for so long is not made any more; told when one is free.
    package var sessionWait: Duration = .seconds(5)
    /// How long a statement waits for a row that another session holds.
    package var lockWait: Duration = .seconds(3)
    /// The same once a batch has waited in vain, and its edits go one by one.
    package var lockWaitAlone: Duration = .milliseconds(100)
    /// For how long a file whose row was held goes apart from the others.
    package var heldMemory: Duration = .seconds(60)
    /// After how long a session that waits for its client inside a transaction is ended.
    package var stallWait: Duration = .seconds(2)
    /// Content of one statement; a larger batch goes in several.
    package var batchBytesMax = 32 << 20
    /// Largest content: the server's limits are 1 GB for a value and for a message.
    package var contentBytesMax = 256 << 20

    /// The defaults.
    package init() {}
}
