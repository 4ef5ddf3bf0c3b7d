import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { packageRoot } from '../../src/runtime/python.js'

const read = (file: string): unknown =>
  parse(readFileSync(join(packageRoot, '.github', file), 'utf8'), { strict: true, uniqueKeys: true })

interface Workflow {
  readonly on: Record<string, unknown>
  readonly permissions: Record<string, string>
  readonly jobs: Record<
    string,
    {
      readonly strategy: { readonly matrix: { readonly node: readonly number[] } }
      readonly steps: readonly {
        readonly uses?: string
        readonly run?: string
        readonly with?: Record<string, string>
      }[]
    }
  >
}

it('the workflow calls scripts/test on Node 20, 22 and 24', () => {
  const { on, permissions, jobs } = read('workflows/test.yml') as Workflow
  expect(Object.keys(on)).toEqual(['push', 'pull_request'])
  expect(permissions).toEqual({ contents: 'read' })
  const { strategy, steps } = jobs.test!
  expect(strategy.matrix.node).toEqual([20, 22, 24])
  const node = steps.find(({ uses }) => uses?.startsWith('actions/setup-node@'))
  expect(node?.with?.['node-version']).toMatch(/^\$\{\{ matrix\.node \}\}$/)
  expect(
    steps.filter(({ uses }) => uses !== undefined).every(({ uses }) => /^actions\/[\w-]+@v\d+$/.test(uses!)),
  ).toBe(true)
  expect(steps.at(-1)?.run).toBe('scripts/test')
  expect(statSync(join(packageRoot, 'scripts/test')).mode & 0o111).not.toBe(0)
})

interface Template {
  readonly name: string
  readonly description: string
  readonly body: readonly {
    readonly type: string
    readonly id?: string
    readonly attributes: { readonly label?: string; readonly value?: string }
    readonly validations?: { readonly required?: boolean }
  }[]
}

it('the issue templates have the fields of GitHub, and ask for the output of doctor', () => {
  const files = readdirSync(join(packageRoot, '.github/ISSUE_TEMPLATE')).filter(
    (name) => name !== 'config.yml',
  )
  const templates = files.map((name) => read(`ISSUE_TEMPLATE/${name}`) as Template)
  for (const { name, description, body } of templates) {
    expect([typeof name, typeof description]).toEqual(['string', 'string'])
    const fields = body.filter(({ type }) => type !== 'markdown')
    expect(new Set(fields.map(({ id }) => id)).size).toBe(fields.length)
    expect(fields.every(({ attributes }) => attributes.label)).toBe(true)
    expect(
      body.every(({ type }) => ['markdown', 'textarea', 'input', 'dropdown', 'checkboxes'].includes(type)),
    ).toBe(true)
    expect(fields.some(({ attributes }) => attributes.label?.includes('doctor --output json'))).toBe(true)
  }
  const problem = templates.find(({ name }) => name === 'Problem')!
  expect(problem.body.find(({ id }) => id === 'doctor')?.validations?.required).toBe(true)
  expect(read('ISSUE_TEMPLATE/config.yml')).toEqual({ blank_issues_enabled: false })
})
