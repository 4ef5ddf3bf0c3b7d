import { createHmac } from 'node:crypto'
import type { ScannedSeries } from './series.js'

/** Ids that only the holder of a key can compute from the identifiers of a hospital. */
export interface Pseudonyms {
  /** Id of a patient. A file without PatientID stands for a patient of its study. */
  patient(series: Pick<ScannedSeries, 'patient' | 'study'>): string
  /** Id of a case: the patient's, and one for the series. */
  caseOf(series: Pick<ScannedSeries, 'patient' | 'study' | 'uid'>): string
  /** Digest of any value: equal values have equal digests. */
  digest(value: unknown): string
}

/** Return the pseudonyms of a key: the same key gives the same ids. Ids of patients are guessable, so a plain hash is none. */
export function pseudonymsOf(key: Uint8Array): Pseudonyms {
  const keyed = (purpose: string, text: string, length: number): string =>
    createHmac('sha256', key).update(`freetumor ${purpose}\0${text}`).digest('hex').slice(0, length)
  const patient: Pseudonyms['patient'] = ({ patient: id, study }) =>
    `p${id === '' ? keyed('study', study, 12) : keyed('patient', id, 12)}`
  return {
    patient,
    caseOf: (series) => `${patient(series)}_s${keyed('series', series.uid, 8)}`,
    digest: (value) => keyed('state', JSON.stringify(value), 32),
  }
}
