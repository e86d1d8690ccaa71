internal import Dispatch

/// Threads of a test's own, for what must answer while the tests' threads wait.
///
/// Swift's tasks share a few threads, on small machines two. A test that waits for a process holds
/// one of them; a server of the test kit that this process waits for must not need it.
package final class OwnThreads: TaskExecutor {
    private let queue: DispatchQueue

    /// - Parameter label: Told by debuggers.
    package init(label: String) {
        queue = DispatchQueue(label: label, attributes: .concurrent)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
