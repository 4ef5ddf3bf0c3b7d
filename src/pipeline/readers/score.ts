import { join } from 'node:path'
import { csvField } from '../../plain-text.js'
import { readJournal } from '../../readers/journal.js'
import { HIT_MM, type MarkedAnswer, markedAnswers, type StudyScore, studyScore } from '../../readers/score.js'
import { readReaders, readStudy, readTruth, STUDY_FILES } from '../../readers/study.js'
import { renderReaderStudy } from '../../report/reader-study-page.js'
import { ownVersion } from '../../training/run-version.js'
import { makeFolder, writeWhole } from '../../whole-file.js'

export interface ScoredStudy extends StudyScore {
  /** Folder with `score.html`, `readers.csv` and `answers.csv`. */
  readonly out: string
  /** Lines of the journal that a killed server left unfinished; they were never acknowledged. */
  readonly unfinishedLines: number
}

/**
 * Compute the figures of a reader study, and write them as a page and as CSV files that only the user can read.
 * @param out default: `score` in the folder of the study
 */
export async function scoreReaderStudy(folder: string, out = join(folder, 'score')): Promise<ScoredStudy> {
  const study = await readStudy(folder)
  const [truth, readers, journal] = await Promise.all([
    readTruth(folder),
    readReaders(folder),
    readJournal(join(folder, STUDY_FILES.journal)),
  ])
  const answers = markedAnswers(study, truth, readers, journal)
  const score = studyScore(study, readers, answers)
  await makeFolder(out)
  const made = `freetumor ${ownVersion()}, ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`
  const page = renderReaderStudy({
    score,
    cases: study.cases,
    repeats: study.repeated.length,
    timeLimitSeconds: study.timeLimitSeconds,
    made,
  })
  await writeWhole(join(out, 'score.html'), page, 0o600)
  await writeWhole(join(out, 'answers.csv'), answersCsv(answers), 0o600)
  await writeWhole(join(out, 'readers.csv'), readersCsv(score), 0o600)
  return { ...score, out, unfinishedLines: journal.unfinished }
}

type Cell = string | number | boolean | null

function answersCsv(answers: readonly MarkedAnswer[]): string {
  const heads = [
    ...['reader', 'position', 'case', 'showing', 'truth', 'organ', 'size', 'diameter_mm', 'group'],
    ...['answer', 'right', 'confidence', 'click_x_mm', 'click_y_mm', 'click_z_mm'],
    ...['distance_mm', 'hit', 'seconds', 'over_time', 'time'],
  ]
  const rows = answers.map((one): Cell[] => [
    ...[one.reader, one.position, one.case, one.showing],
    ...[one.of.truth, one.of.organ, one.of.size, one.of.diameterMm, one.of.group],
    ...[one.answer, one.right, one.confidence],
    ...(one.clickMm ?? [null, null, null]),
    one.distanceMm === null ? null : Number(one.distanceMm.toFixed(2)),
    one.distanceMm !== null && one.distanceMm <= HIT_MM,
    ...[one.seconds, one.overTime, one.time],
  ])
  return csvOf(heads, rows)
}

function readersCsv({ readers }: StudyScore): string {
  const heads = [
    ...['reader', 'cases', 'accuracy', 'accuracy_low', 'accuracy_high'],
    ...['sensitivity', 'sensitivity_low', 'sensitivity_high'],
    ...['specificity', 'specificity_low', 'specificity_high', 'auc', 'auc_low', 'auc_high'],
    ...['p_chance', 'p_paper', 'kappa_with_self', 'repeats', 'learning_r', 'learning_p'],
    ...['localised', 'localised_low', 'localised_high', 'median_seconds', 'over_time'],
  ]
  const none = [null, null] as const
  const rows = readers.map((one): Cell[] => [
    ...[one.id, one.cases, one.accuracy],
    ...(one.ci ?? none),
    one.sensitivity,
    ...(one.sensitivityCi ?? none),
    one.specificity,
    ...(one.specificityCi ?? none),
    one.auc,
    ...(one.aucCi ?? none),
    ...[one.pChance, one.pPaper, one.intra.kappa, one.intra.n],
    ...[one.learning.trend?.r ?? null, one.learning.trend?.p ?? null],
    one.localisation.rate,
    ...(one.localisation.ci ?? none),
    ...[one.medianSeconds, one.overTime],
  ])
  return csvOf(heads, rows)
}

function csvOf(heads: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const line = (cells: readonly Cell[]): string =>
    `${cells.map((cell) => (cell === null ? '' : csvField(typeof cell === 'boolean' ? String(cell) : cell))).join(',')}\n`
  return [heads, ...rows].map(line).join('')
}
