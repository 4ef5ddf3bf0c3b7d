import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { RuntimeCrashError } from '../errors.js'
import { parseForeignJson } from '../foreign-text.js'
import {
  ActRequest,
  type ActResponse,
  GetStatusRequest,
  RunServiceClient,
  WatchRequest,
  type WatchResponse,
} from '../generated/freetumor/runtime/v1/runs.js'

/** Client of a `RunServer`. */
export interface RunClient {
  status(): Promise<unknown>
  act(command: unknown): Promise<NonNullable<ActResponse['outcome']>>
  /** Yield events until the run ends or the loop is left. `close` makes a waiting reader fail. */
  watch(): AsyncIterable<unknown>
  close(): void
}

/** Time after which a process without an answer counts as unreachable. */
const ANSWER_WITHIN_MS = 5000

/**
 * Open a client.
 * @throws RuntimeCrashError in any call if no process serves the address
 */
export function openRunClient(address: string, token: string): RunClient {
  const client = new RunServiceClient(address, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${token}`)
  const watched = new Set<{ cancel(): void }>()
  return {
    status: () =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + ANSWER_WITHIN_MS
        client.getStatus(GetStatusRequest.create(), metadata, { deadline }, (error, response) =>
          error ? reject(gone(error)) : resolve(parseForeignJson(response.statusJson, 'status of the run')),
        )
      }),
    // no deadline: a command applies from the next step on, and a step may take minutes
    act: (command) =>
      new Promise((resolve, reject) => {
        const request = ActRequest.fromPartial({ commandJson: JSON.stringify(command) })
        client.act(request, metadata, (error, { outcome } = { outcome: undefined }) =>
          error || !outcome ? reject(gone(error)) : resolve(outcome),
        )
      }),
    async *watch() {
      const stream = client.watch(WatchRequest.create(), metadata)
      watched.add(stream)
      try {
        for await (const response of stream)
          yield parseForeignJson((response as WatchResponse).eventJson, 'event of the run')
      } catch (error) {
        throw gone(error as ServiceError)
      } finally {
        watched.delete(stream)
        stream.cancel()
      }
    },
    close: () => {
      // a reader that waits for the next event of a paused run would wait for ever
      for (const stream of watched) stream.cancel()
      client.close()
    },
  }
}

function gone(error: ServiceError | null): RuntimeCrashError {
  const details = error?.code === status.UNAUTHENTICATED ? 'wrong token' : 'the process does not answer'
  return new RuntimeCrashError(details, {
    hint: 'run `freetumor runs list` to see whether the run still exists',
    cause: error ?? undefined,
  })
}
