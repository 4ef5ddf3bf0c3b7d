// The TypeScript side of control.py: feed, verdicts, ledger, control stream and event log as in a training. Only the
// feeder differs: its crops are made once. A line of input requests the addresses, or the processor seconds up to then.
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { loadConfig } from '../../dist/config/load.js'
import { trainingFeed } from '../../dist/pipeline/train/feed.js'
import { openLedger } from '../../dist/pipeline/train/ledger-file.js'
import { toCommand, toRuntimeEvent } from '../../dist/runtime/events.js'
import { answerRank } from '../../dist/runtime/feed-service.js'
import { RunJournal } from '../../dist/training/journal.js'
import { openControlServer } from '../../dist/transport/control-server.js'
import { openTensorServer } from '../../dist/transport/tensor-server.js'

const { folder, crops: count, side } = JSON.parse(process.argv[2])
/** Interval between two live commands, in steps; a user gives far fewer. */
const COMMAND_EVERY_STEPS = 10
const BOX = 32
let commands = 0
const directory = join(folder, 'sockets')
mkdirSync(directory, { mode: 0o700 })

const shape = [side, side, side]
const crops = Array.from({ length: count }, (_, crop) => ({
  item: 0,
  crop,
  caseId: 'made',
  image: Int16Array.from({ length: side ** 3 }, (_, at) => ((7919 * at) % 401) - 150),
  label: new Uint8Array(side ** 3).fill(1),
  augmentation: { flip: [false, true, false], quarterTurns: 1, intensityScale: 1, intensityShift: 0 },
  tumors: [
    {
      organ: 'liver',
      size: 'medium',
      box: new Uint8Array(BOX ** 3).fill(1),
      boxShape: [BOX, BOX, BOX],
      boxOrigin: [4, 4, 4],
      edgeSigma: 1.5,
      textureIndex: 0,
      textureStart: [0, 0, 0],
      handcraftedDifference: 0.5,
      draw: 0,
    },
  ],
  mixing: null,
  noRoom: null,
}))

const config = await loadConfig('configs/debug-segmentation.yaml')
const ledger = await openLedger(join(folder, 'ledger.jsonl'), Promise.resolve(0))
const journal = new RunJournal()
await journal.open(folder, 0)
const feed = trainingFeed({
  config,
  feeder: { step: async () => crops },
  ranks: 1,
  ranksHere: 1,
  ready: ledger.ready,
  onLedger: (line) => ledger.write(line),
  onSynthesis: (event) => journal.emit(event),
})
const token = randomBytes(16).toString('hex')
const control = await openControlServer({ directory, token })
const tensors = await openTensorServer({
  token: '',
  directory,
  onMessage: (rank, message) => answerRank(feed, shape, rank, message),
  onFailure: fail,
})
follow().catch(fail)

for await (const line of createInterface({ input: process.stdin })) {
  const { user, system } = process.cpuUsage()
  const told =
    line === 'addresses'
      ? { feed: tensors.address, control: control.address, token }
      : { seconds: (user + system) / 1e6, commands }
  process.stdout.write(`${JSON.stringify(told)}\n`)
}
await tensors.close()
await control.close()
await journal.close({ type: 'note', level: 'info', text: 'done' })
await ledger[Symbol.asyncDispose]()

async function follow() {
  const hello = await control.attached
  for await (const { message } of control.messages) {
    if (message?.$case !== 'event') continue
    const { type, ...event } = toRuntimeEvent(message.value, hello)
    if (type !== 'stepDone') continue
    journal.emit({ ...event, type: 'step', job: 'segmentation', epoch: 0 })
    if (event.step % COMMAND_EVERY_STEPS !== 0) continue
    // not awaited: its answer comes with the next step, and the last one has none
    control.sendCommand(toCommand({ type: 'setLearningRate', value: 1e-4 })).then(
      () => commands++,
      () => {},
    )
  }
}

function fail(error) {
  console.error(error)
  process.exit(1)
}
