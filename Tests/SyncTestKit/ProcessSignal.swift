package import Foundation

extension Process {
    /// Sends a signal, unless the process has ended.
    ///
    /// Foundation collects a child that ends, and its number is given to another process when
    /// numbers have gone round once, 32,768 processes and threads later: a few minutes of tests.
    package func signal(_ number: Int32) {
        if isRunning { kill(processIdentifier, number) }
    }
}
