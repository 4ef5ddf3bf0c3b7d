import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { ManifestCase } from '../../curation/datasets/manifest.js'
import { DataError, UsageError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { robotFinding } from '../../readers/robot.js'
import { drawPairs } from '../../readers/selection.js'
import {
  type CaseTruth,
  type Side,
  STUDY_BOUNDS,
  STUDY_FILES,
  type Study,
  type Truth,
  volumeFile,
  writePrivate,
} from '../../readers/study.js'
import { openStream } from '../../simulation/random.js'
import { suggestion } from '../../suggestion.js'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import type { Vec3 } from '../../volume/volume.js'
import { refuseUnwritableFolder, writeWholeFolder } from '../../whole-file.js'
import { casesAt, noteNotTaken } from '../data/collect.js'
import { refuseStopped, type StudyTumor, tumorsOf } from './candidates.js'
import { type CroppedTumor, cropTumor, gridOf } from './crop-tumor.js'
import { readGroups } from './groups.js'
import type { ReaderStudySettings } from './settings.js'

export interface CreatedStudy {
  readonly out: string
  readonly id: string
  readonly cases: number
  readonly repeats: number
  readonly examples: number
  readonly shape: Vec3
  readonly spacingMm: number
  readonly strata: readonly {
    readonly organ: string
    readonly size: string
    readonly group: string
    readonly pairs: number
  }[]
  readonly robot: Study['robot']
  readonly notes: readonly string[]
}

/**
 * Write a reader study: matched pairs of real and synthetic tumors, cropped and stored alike, and the truth in a file of its own.
 * @throws UsageError for wrong settings; DataError if there are too few pairs, or if the robot reader separates the sides
 */
export async function createReaderStudy(settings: ReaderStudySettings): Promise<CreatedStudy> {
  const { cwd = process.cwd(), seed = 0, signal, onNote } = settings
  const wanted = checkedNumbers(settings)
  const out = resolve(cwd, settings.out)
  if ((await stat(out).catch(() => null)) !== null)
    throw new UsageError(`${out}: exists already (expected a new folder)`, {
      hint: 'remove it, or choose another --out',
    })
  await refuseUnwritableFolder(dirname(out), out)
  const { tumors, organs, notes } = await candidatesOf(settings, cwd)
  const grid = gridOf(tumors, settings)
  const created = await writeWholeFolder(out, async (aside) => {
    await chmod(aside, 0o700)
    await mkdir(join(aside, STUDY_FILES.volumes), 0o700)
    const cropped = new Map<StudyTumor, CroppedTumor>()
    const reasons = new Map<string, number>()
    const isUsable = async (one: StudyTumor): Promise<boolean> => {
      refuseStopped(signal)
      const result = await cropTumor(
        one,
        grid,
        seed,
        join(aside, STUDY_FILES.volumes, `aside-${cropped.size}`),
      )
      if (typeof result === 'string') reasons.set(result, (reasons.get(result) ?? 0) + 1)
      else cropped.set(one, result)
      return typeof result !== 'string'
    }
    const pairsWanted = (wanted.cases + wanted.examples) / 2
    const { pairs, possible } = await drawPairs(tumors, pairsWanted, seed, isUsable)
    if (possible < pairsWanted) throw tooFew(tumors, reasons, possible, wanted, notes)
    const main = pairs.slice(0, wanted.cases / 2)
    const finding = robotFinding(
      main.flat().map((one) => ({
        truth: one.side,
        stratum: JSON.stringify([one.organ, one.group]),
        cues: cropped.get(one)!.cues,
      })),
      seed,
    )
    if (finding.separating.length > 0) {
      const [first] = finding.cues.filter(({ cue }) => finding.separating.includes(cue))
      throw new DataError(
        `study: the robot reader separates real from synthetic cases by ${finding.separating.join('; ')} (expected p >= ${finding.threshold.toPrecision(2)}, found ${first!.p.toPrecision(2)} for medians ${inUnit(first!.real, first!.unit)} and ${inUnit(first!.synthetic, first!.unit)})`,
        {
          hint: 'take both sides from the same scanners and processing; --groups FILE matches them',
          facts: { robot: finding },
        },
      )
    }
    notes.push(...othersNote(main, cropped))
    if (finding.attainable >= finding.threshold)
      notes.push(
        `The robot reader cannot refuse a study of ${wanted.cases} cases: too few for its test (smallest p ${finding.attainable.toPrecision(2)}, needed ${finding.threshold.toPrecision(2)}).`,
      )
    const id = createHash('sha256').update(randomBytes(32)).digest('hex').slice(0, 16)
    const { cases, truths } = await numbered(aside, 'case', main.flat(), cropped, seed)
    const examples = await numbered(aside, 'example', pairs.slice(wanted.cases / 2).flat(), cropped, seed)
    await sweep(join(aside, STUDY_FILES.volumes))
    const study: Study = {
      version: 1,
      id,
      seed,
      organs: [...organs],
      cases,
      repeated: repeatedOf(truths, wanted.repeats, seed),
      shape: [...grid.shape] as Study['shape'],
      spacingMm: grid.spacingMm,
      timeLimitSeconds: settings.timeLimitSeconds ?? null,
      examples: examples.truths.map(({ truth, lesionMm }) => ({ truth, lesionMm })),
      robot: finding,
      notes,
    }
    const truth: Truth = { version: 1, study: id, cases: truths, examples: examples.truths }
    await writePrivate(join(aside, STUDY_FILES.truth), truth)
    await writePrivate(join(aside, STUDY_FILES.study), study)
    return {
      out,
      id,
      cases,
      repeats: study.repeated.length,
      examples: study.examples.length,
      shape: grid.shape,
      spacingMm: grid.spacingMm,
      strata: strataOf(main.map(([real]) => real)),
      robot: finding,
      notes,
    }
  })
  for (const note of created.notes) onNote?.(note, 'warning')
  return created
}

interface Wanted {
  readonly cases: number
  readonly examples: number
  readonly repeats: number
}

function checkedNumbers({ cases = 90, examples = 4, repeats, ...settings }: ReaderStudySettings): Wanted {
  const again = repeats ?? 2 * Math.round(cases / 20)
  for (const [name, number, least] of [
    ['cases', cases, 2],
    ['examples', examples, 0],
    ['repeats', again, 0],
  ] as const)
    if (!Number.isInteger(number) || number < least || number % 2 !== 0)
      throw new UsageError(`--${name} ${number}: wrong number (expected an even number from ${least})`, {
        hint: `half of them are real; write --${name} ${Math.max(least, 2 * Math.round(number / 2) || least)}`,
      })
  if (cases + examples > STUDY_BOUNDS.cases)
    throw new UsageError(
      `--cases ${cases}: too many (expected at most ${STUDY_BOUNDS.cases}, examples included)`,
      { hint: 'make several studies' },
    )
  if (again > cases)
    throw new UsageError(`--repeats ${again}: too many (expected at most ${cases})`, {
      hint: 'lower --repeats',
    })
  for (const [name, value] of [
    ['time-limit', settings.timeLimitSeconds],
    ['crop-mm', settings.cropMm],
    ['spacing-mm', settings.spacingMm],
  ] as const)
    if (value !== undefined && !(value > 0 && Number.isFinite(value)))
      throw new UsageError(`--${name} ${value}: wrong number (expected one above 0)`, {
        hint: `leave --${name} out for its default`,
      })
  return { cases, examples, repeats: again }
}

/** Return the tumors of both sides, and what limits their matching. */
async function candidatesOf(
  settings: ReaderStudySettings,
  cwd: string,
): Promise<{ readonly tumors: StudyTumor[]; readonly organs: readonly string[]; readonly notes: string[] }> {
  const { region, map, onNote, signal } = settings
  const [real, synthetic] = [resolve(cwd, settings.real), resolve(cwd, settings.synthetic)]
  const found: Record<Side, readonly ManifestCase[]> = { real: [], synthetic: [] }
  for (const [side, path] of [
    ['real', real],
    ['synthetic', synthetic],
  ] as const) {
    const cases = await casesAt([path], { region, map, cwd, onNote, unknown: 'refuse' })
    noteNotTaken(cases, onNote)
    found[side] = cases.cases
  }
  const regions = new Set([...found.real, ...found.synthetic].map((one) => one.region))
  const known = [...regions].flatMap((one) => LABEL_SCHEMES[one].organs.map(({ name }) => name as string))
  const organs = settings.organs ?? [...new Set(known)]
  for (const organ of organs)
    if (!known.includes(organ))
      throw new UsageError(
        `--organs ${organ}: unknown organ (expected ${known.join(', ')})${suggestion(organ, known)}`,
        { hint: `write --organs ${known.join(',')}` },
      )
  const groups = settings.groups === undefined ? null : await readGroups(settings.groups, cwd)
  const notes: string[] = []
  const tumors: StudyTumor[] = []
  const sources = new Map<string, { readonly dataset: string; readonly patient: string }>()
  for (const [side, folder] of [
    ['real', real],
    ['synthetic', synthetic],
  ] as const) {
    const result = await tumorsOf(
      side,
      found[side],
      organs,
      (one, origin) => (groups === null ? origin.dataset : groups(one, origin.patient)),
      { signal, folder, known: sources },
    )
    tumors.push(...result.tumors)
    if (result.oblique > 0)
      notes.push(`${counted(result.oblique, `oblique ${side} scan`, ['is', 'are'])} left out.`)
  }
  const isShared = tumors.some(
    ({ side, group }) =>
      side === 'real' && tumors.some((one) => one.side === 'synthetic' && one.group === group),
  )
  if (isShared) return { tumors, organs, notes }
  notes.push(
    'The data sets of the two sides differ or are unknown, so cases are not matched by scanner. A scanner may be a cue.',
  )
  return { tumors: tumors.map((one) => ({ ...one, group: 'not matched' })), organs, notes }
}

/** Number the cases in a random order, and name their volumes by these numbers. */
async function numbered(
  folder: string,
  kind: 'case' | 'example',
  tumors: readonly StudyTumor[],
  cropped: ReadonlyMap<StudyTumor, CroppedTumor>,
  seed: number,
): Promise<{ readonly cases: number; readonly truths: CaseTruth[] }> {
  const order = openStream([seed, 'readers', 'numbers', kind]).permutation(tumors.length)
  const truths: CaseTruth[] = []
  for (const [at, from] of order.entries()) {
    const one = tumors[from]!
    const { file, lesion, lesionMm } = cropped.get(one)!
    await rename(file, join(folder, volumeFile(kind, at + 1)))
    truths.push({
      case: at + 1,
      truth: one.side,
      organ: one.organ,
      size: one.size,
      diameterMm: Math.round(one.diameterMm * 10) / 10,
      group: one.group,
      scan: one.case.id,
      patient: one.patient,
      image: one.case.image,
      sha256: one.scans[0]!,
      lesionMm: [...lesionMm],
      lesion,
    })
  }
  return { cases: tumors.length, truths }
}

/** Remove the crops of candidates that found no partner. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (name.startsWith('aside-')) await rm(join(folder, name))
}

/** Draw the cases that readers see twice: as many real as synthetic ones. */
function repeatedOf(truths: readonly CaseTruth[], repeats: number, seed: number): number[] {
  const random = openStream([seed, 'readers', 'repeats'])
  return (['real', 'synthetic'] as const).flatMap((side) => {
    const own = truths.filter(({ truth }) => truth === side)
    return random
      .permutation(own.length)
      .slice(0, repeats / 2)
      .map((at) => own[at]!.case)
  })
}

function strataOf(reals: readonly StudyTumor[]): CreatedStudy['strata'] {
  const counts = new Map<string, number>()
  for (const { organ, size, group } of reals) {
    const key = JSON.stringify([organ, size, group])
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, pairs]) => {
      const [organ, size, group] = JSON.parse(key) as [string, string, string]
      return { organ, size, group, pairs }
    })
}

/** Note a difference that a reader may use and that is no matter of storage: other tumors in the crop. */
function othersNote(
  pairs: readonly (readonly [StudyTumor, StudyTumor])[],
  cropped: ReadonlyMap<StudyTumor, CroppedTumor>,
): string[] {
  const count = (at: 0 | 1): number => pairs.filter((pair) => cropped.get(pair[at])!.others).length
  const [real, synthetic] = [count(0), count(1)]
  if (Math.abs(real - synthetic) <= pairs.length / 5) return []
  return [
    `Another tumor is visible in ${real} of ${pairs.length} real and ${synthetic} of ${pairs.length} synthetic cases. A smaller --crop-mm shows fewer.`,
  ]
}

function tooFew(
  tumors: readonly StudyTumor[],
  reasons: ReadonlyMap<string, number>,
  possible: number,
  wanted: Wanted,
  notes: readonly string[],
): DataError {
  const count = (side: Side): number => tumors.filter((one) => one.side === side).length
  const left = [...reasons].map(([reason, n]) => `${n} left out: ${reason}`)
  const facts = [
    `${counted(count('real'), 'real tumor')} and ${counted(count('synthetic'), 'synthetic tumor')} found`,
    ...left,
  ]
  const most = 2 * possible - wanted.examples
  return new DataError(
    `study: too few pairs of one organ, size and group (expected ${(wanted.cases + wanted.examples) / 2}, found ${possible}; ${facts.join('; ')})`,
    {
      hint:
        most >= 2
          ? `lower --cases to ${most}, or add scans; each scan and patient is used once`
          : 'add scans; each scan and patient is used once; use tumor-free host CTs',
      facts: { notes },
    },
  )
}

function inUnit(value: number, unit: string): string {
  return `${Number(value.toPrecision(3))}${unit === '' ? '' : ` ${unit}`}`
}
