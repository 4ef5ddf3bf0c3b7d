import type {
  FinishedEvent,
  NoteEvent,
  RunEvent,
  StartedEvent,
  StepEvent,
  SynthesisEvent,
  ValidationEvent,
} from '../../src/training/events.js'

const time = '2026-01-02T03:04:05.000Z'

export function started(changes: Partial<StartedEvent> = {}): StartedEvent {
  return {
    time,
    type: 'started',
    job: 'segmentation',
    run: '20260102T030405Z-ab12',
    step: 0,
    steps: 100,
    device: 'cpu',
    worldSize: 2,
    versions: { torch: '2.13.0' },
    parameters: { segmentor: 347_079 },
    ...changes,
  }
}

export function step(at: number, changes: Partial<StepEvent> = {}): StepEvent {
  return {
    time,
    type: 'step',
    job: 'segmentation',
    step: at,
    epoch: 0,
    losses: { total: 0.75, dice: 0.5, crossEntropy: 0.25 },
    learningRate: 0.001,
    seconds: 0.5,
    waitSeconds: 0.05,
    ...changes,
  }
}

export function synthesis(at: number, changes: Partial<SynthesisEvent> = {}): SynthesisEvent {
  const byOrgan = { liver: { kept: 1, tried: 2, shareSeen: 0.6 } }
  return {
    time,
    type: 'synthesis',
    step: at,
    shareSeen: 0.6,
    kept: 1,
    tried: 2,
    noRoom: 0,
    byOrgan,
    byKind: [{ organ: 'liver', size: 'small', ...byOrgan.liver }],
    ...changes,
  }
}

export function validation(at: number, changes: Partial<ValidationEvent> = {}): ValidationEvent {
  return {
    time,
    type: 'validation',
    step: at,
    tumorDice: 0.625,
    diceByLabel: { 1: 0.9, 2: 0.625 },
    numCases: 4,
    best: true,
    ...changes,
  }
}

export function note(text: string, level: NoteEvent['level'] = 'info'): NoteEvent {
  return { time, type: 'note', level, text }
}

export function finished(changes: Partial<FinishedEvent> = {}): FinishedEvent {
  return { time, type: 'finished', outcome: 'completed', reason: '', step: 100, ...changes }
}

/** One event of each type, in the order in which a run would tell them. */
export const everyEvent: readonly RunEvent[] = [
  note('38 of 38 tensors taken'),
  note('no host has a kidney', 'warning'),
  started(),
  synthesis(0),
  step(0),
  { time, type: 'command', command: 'setLearningRate', step: 50, value: 0.00005 },
  { time, type: 'command', command: 'pause', step: 60 },
  validation(100),
  { time, type: 'checkpoint', step: 100, directory: 'runs/a/checkpoints/step_00000100', reason: 'end' },
  finished(),
]

/** What the runtime writes into `pictures/`: one plane of 3 x 2 pixels. */
export function pictureFile(changes: object = {}) {
  const pixels = Buffer.from([0, 1, 2, 3, 4, 5]).toString('base64')
  const mask = Buffer.from([0, 0, 1, 0, 0, 1]).toString('base64')
  const plane = { name: 'axial', width: 3, height: 2, host: pixels, synthetic: pixels, mask }
  return {
    step: 11,
    item: 3,
    crop: 0,
    organ: 'liver',
    size: 'tiny',
    shareSeen: 0.85,
    planes: [plane],
    ...changes,
  }
}
