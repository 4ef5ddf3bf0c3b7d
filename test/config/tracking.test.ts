import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.js'
import { ConfigError } from '../../src/errors.js'

const withTracking = (tracking: unknown) => () =>
  resolveConfig({
    job: 'baseline',
    region: 'abdomen',
    data: { datasets: [{ name: 'a', path: '/a' }] },
    tracking,
  })

describe('the section tracking', () => {
  it('names no service by default', () => {
    expect(withTracking({})().tracking).toEqual({
      mlflow: null,
      wandb: null,
      otlp: null,
      experiment: 'freetumor',
      include: [],
    })
  })

  it.each([
    'https://user:the-secret@host',
    'https://the-secret@host/path',
    'https://host/?token=the-secret',
    'https://host/#the-secret',
  ])('refuses the credentials of %s, and does not repeat them', (mlflow) => {
    expect(withTracking({ mlflow })).toThrow(ConfigError)
    expect(withTracking({ mlflow })).toThrow('tracking.mlflow: wrong value')
    expect(withTracking({ mlflow })).toThrow(/^(?!.*the-secret)/s)
  })

  it.each(['file:///mlruns', 'host:5000', 'databricks'])('refuses the address %s', (mlflow) => {
    expect(withTracking({ mlflow })).toThrow('an address such as https://mlflow.example.org')
  })

  it('takes a project of Weights & Biases with and without an entity', () => {
    expect(withTracking({ wandb: 'team/tumors' })().tracking.wandb).toBe('team/tumors')
    expect(withTracking({ wandb: '../tumors' })).toThrow('PROJECT or ENTITY/PROJECT')
  })
})
