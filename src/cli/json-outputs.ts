import type { ExplainedKey } from '../config/explain.js'
import type { CheckReport } from '../curation/check/run.js'
import type { FoldPlan } from '../curation/split/run.js'
import type { Cards } from '../pipeline/cards/write.js'
import type { DataAudit } from '../pipeline/data/audit.js'
import type { DicomConversion } from '../pipeline/data/convert.js'
import type { DataImport } from '../pipeline/data/import.js'
import type { RemappedFile } from '../pipeline/data/remap.js'
import type { WrittenCalibration } from '../pipeline/evaluate/calibrate.js'
import type { HardNegatives } from '../pipeline/evaluate/hard-negatives.js'
import type { WrittenOperatingPoint } from '../pipeline/evaluate/operating-point.js'
import type { Evaluation } from '../pipeline/evaluate/run.js'
import type { DatasetExport } from '../pipeline/export/dataset.js'
import type { ModelExport } from '../pipeline/export/model.js'
import type { DemoResult } from '../pipeline/flows/demo.js'
import type { DicomPrediction, DicomSynthesis } from '../pipeline/flows/dicom-chain.js'
import type { PredictionWithSegs, SynthesisWithSegs } from '../pipeline/flows/dicom-seg.js'
import type { Merged } from '../pipeline/flows/merge.js'
import type { OrganLabels } from '../pipeline/organs/run.js'
import type { OrganProgress } from '../pipeline/organs/settings.js'
import type { RunPlan } from '../pipeline/plan/launch.js'
import type { CheckpointFacts, WeightsLicence } from '../pipeline/ports/checkpoint.js'
import type { PluginCheck } from '../pipeline/ports/plugin.js'
import type { PredictProgress } from '../pipeline/predict/run.js'
import type { PrepareEstimate } from '../pipeline/prepare/estimate.js'
import type { PrepareReport } from '../pipeline/prepare/run.js'
import type { CreatedStudy } from '../pipeline/readers/create.js'
import type { ScoredStudy } from '../pipeline/readers/score.js'
import type { Realism } from '../pipeline/realism/run.js'
import type { ReviewOverview } from '../pipeline/review-summary.js'
import type { SubmittedArrayJobs } from '../pipeline/submit/array.js'
import type { SubmittedJob } from '../pipeline/submit/run.js'
import type { SynthesisProgress } from '../pipeline/synthesize/run.js'
import type { Sweep } from '../pipeline/synthesize/sweep.js'
import type { ConfigCheck } from '../pipeline/train/check.js'
import type { KeyRecord, KeyStatement } from '../provenance/keys.js'
import type { Verification, VerifiedFile } from '../provenance/verify.js'
import type { Converted, ProbeResult } from '../runtime/checkpoint.js'
import type { DoctorReport } from '../runtime/doctor.js'
import type { SetupResult } from '../runtime/setup.js'
import type { Sent } from '../tracking/feed.js'
import type { RunEvent } from '../training/events.js'
import type { LaunchEvent, LaunchResult } from '../training/launch.js'
import type { RunResult } from '../training/run.js'
import type { RunSummary } from '../training/run-summary.js'
import type { Region } from '../volume/labels.js'
import type { CommandTree } from './command-tree.js'

/** Version of the JSON documents. It grows when a key is renamed, removed or changes its meaning. */
export const SCHEMA_VERSION = 1

/** Documents that commands print with `--output json`, without `schemaVersion`, which `printResult` adds. */
export interface JsonOutputs {
  '--help': CommandTree
  calibrate: WrittenCalibration | WrittenOperatingPoint
  card: Cards
  'checkpoint convert': Converted
  'checkpoint inspect': CheckpointFacts & {
    readonly licences: readonly WeightsLicence[]
    readonly hints: readonly string[]
    readonly probe?: ProbeResult
  }
  'checkpoint licence': { readonly file: string }
  'config check': ConfigCheck & { readonly file: string; readonly job: string; readonly region: Region }
  'config explain': Omit<ExplainedKey, 'defaultText'>
  'config explain (no key)': { readonly keys: ExplainedKey['keys'] }
  'data audit': DataAudit
  'data check': CheckReport
  'data convert': DicomConversion
  'data import': DataImport
  'data remap': RemappedFile
  'data split': Pick<FoldPlan, 'table' | 'patients' | 'warnings'> & {
    /** Null: nothing was written. */
    readonly out: string | null
    readonly folds: number
  }
  demo: DemoResult
  doctor: DoctorReport
  evaluate: Evaluation
  export: ModelExport | DatasetExport
  'hard-negatives': HardNegatives
  init: { readonly file: string }
  'key create|rotate|revoke|show': KeyStatement & { readonly folder: string }
  'key list': { readonly folder: string; readonly keys: readonly KeyRecord[] }
  'key sign': { readonly manifest: string; readonly key: string; readonly files: number }
  /** `signedBy`: the trusted key that it replaces, if one does. */
  'key trust': { readonly key: KeyRecord; readonly signedBy: string | null }
  launch: LaunchResult
  merge: Merged
  phantom: { readonly out: string; readonly cases: number; readonly region: Region }
  organs: OrganLabels
  /** `script`: that of `submit`, if the configuration has a section `cluster`; else null. */
  plan: RunPlan & { readonly script: string | null }
  'plugin check': PluginCheck
  predict: PredictionWithSegs & Partial<DicomPrediction>
  prepare: PrepareReport & { readonly wallSeconds: number; readonly estimate: PrepareEstimate }
  'prepare --estimate': PrepareEstimate
  realism: Realism
  report: { readonly reports: readonly string[] }
  'readers create': CreatedStudy
  'readers delete': { readonly reader: string; readonly renamed: string | null }
  'readers score': ScoredStudy
  'readers serve': {
    readonly readers: readonly { readonly id: string; readonly url: string; readonly answered: number }[]
    readonly total: number
  }
  'reviews show': ReviewOverview
  'runs list': { readonly runs: readonly RunSummary[] }
  'runs pause|unpause|checkpoint|stop': { readonly command: string; readonly step: number }
  'runs set': { readonly command: 'setLearningRate'; readonly value: number; readonly step: number }
  'runs show': RunSummary
  'runs sync': {
    readonly directory: string
    /** `failure`: why a tracker lacks values; null if it has all. */
    readonly trackers: readonly (Omit<Sent, 'failure'> & { readonly failure: string | null })[]
  }
  setup: SetupResult
  simulate: { readonly out: string; readonly count: number; readonly noRoom: number }
  studio: { readonly url: string }
  submit: SubmittedJob
  'submit --array': SubmittedArrayJobs | (SubmittedJob & { readonly merge: SubmittedJob })
  'submit --chain': { readonly jobs: readonly SubmittedJob[] }
  sweep: Sweep
  synthesize: SynthesisWithSegs & Partial<DicomSynthesis>
  train: RunResult
  verify: Verification
  'train --detach': { readonly directory: string; readonly pid: number }
}

/** Lines that commands print with `--output ndjson`. */
export interface JsonLines {
  launch: LaunchEvent
  organs: OrganProgress
  predict: PredictProgress['case']
  'runs attach': RunEvent
  synthesize: SynthesisProgress
  train: RunEvent
  verify: VerifiedFile
}
