import SyncCore
import Testing

@testable import SyncClient

@Suite struct SyncErrorTests {
    @Test(arguments: RejectionCode.allCases)
    func `every code of the protocol has its word in the library`(_ code: RejectionCode) {
        let error = SyncError(Rejection(code, "A sentence."))
        #expect(error.code.rawValue == code.rawValue)
        #expect(error.description == "\(code.rawValue): A sentence.")
    }
}
