import { z } from 'zod'
import { key } from '../key.js'
import { OURS } from '../sources.js'
import type { DeepReadonly } from '../types.js'

/** Parts of a run that leave it only if they are named. */
export const TRACKED_PARTS = ['name', 'config', 'paths'] as const

const address = z
  .string()
  .refine(isHttp, 'an address such as https://mlflow.example.org')
  .refine((text) => !isHttp(text) || !hasSecret(text), 'an address without user, password and query')

export const trackingSection = z.strictObject({
  mlflow: key(
    address.nullable(),
    'Address of an MLflow tracking server; null sends nothing.',
    'Figures of the run are sent to it during the training.',
    { default: null, source: OURS },
  ),
  wandb: key(
    z
      .string()
      .regex(/^([\w-]+\/)?[\w-]{1,128}$/, 'PROJECT or ENTITY/PROJECT')
      .nullable(),
    'Project of Weights & Biases, `PROJECT` or `ENTITY/PROJECT`; null records nothing.',
    'Figures are written to `RUN/wandb`; they are uploaded only with `WANDB_MODE=online`.',
    { default: null, source: OURS },
  ),
  otlp: key(
    address.nullable(),
    'Address of an OpenTelemetry receiver, without `/v1/metrics`; null sends nothing.',
    'Figures of the run are sent to it as gauges.',
    { default: null, source: OURS },
  ),
  experiment: key(
    z.string().min(1).max(200),
    'Name of the experiment on the MLflow server.',
    'The experiment is created if it does not exist.',
    { default: 'freetumor', source: OURS },
  ),
  include: key(
    z.array(z.enum(TRACKED_PARTS)),
    'Parts that trackers receive in addition: `name`, `config` without paths and data, `paths` with them.',
    'Without them, no name, path, case id or configuration leaves the run.',
    { default: [], source: OURS },
  ),
})

function isHttp(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}

function hasSecret(text: string): boolean {
  const { username, password, search, hash } = new URL(text)
  return username !== '' || password !== '' || search !== '' || hash !== ''
}

/** Services that receive the figures of a run. */
export type TrackingSection = DeepReadonly<z.infer<typeof trackingSection>>
