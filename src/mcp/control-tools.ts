import { existsSync } from 'node:fs'
import { extname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { stringify } from 'yaml'
import { z } from 'zod'
import { RECORD } from '../config/paths.js'
import { UsageError } from '../errors.js'
import { connectRun, evaluate, predict, type Run, train, writeReport } from '../index.js'
import { writeWhole } from '../whole-file.js'
import type { Places } from './places.js'
import { type Call, configFile, path, type Tool, tool } from './tools.js'

/**
 * Return the tools that write files and control runs.
 * @param started receives the runs that this server has started
 */
export function controlTools(places: Places, started: Set<Run>): Tool[] {
  /** Return when the run has its directory, or throw why it ended before. */
  const begin = async (run: Run, { signal }: Call): Promise<object> => {
    started.add(run)
    // a later end is in the files of the run
    const ended = run.result.then(
      () => true,
      () => true,
    )
    void ended.finally(() => started.delete(run))
    const recorded = join(run.directory, RECORD)
    while (!existsSync(recorded))
      if (await Promise.race([ended, wait(100, false, { signal })])) {
        await run.result
        break
      }
    return { directory: run.directory, status: run.status() }
  }
  return [
    tool(
      'write_config',
      'Write a configuration file from its keys; all other keys have defaults.',
      {
        file: path('new file, .yaml'),
        config: z.record(z.string(), z.unknown()).describe('keys, as in explain_key'),
      },
      async ({ file, config: input }) => {
        const target = await places.path(file)
        if (extname(target) !== '.yaml' || existsSync(target))
          throw new UsageError(`${file}: wrong name (expected a new .yaml file)`, {
            hint: 'name a file that does not exist, such as baseline.yaml',
          })
        const { job, name } = await places.resolved(input, target)
        await writeWhole(target, stringify(input))
        return { file: target, job, name }
      },
      true,
    ),
    tool(
      'start_training',
      'Start a training; return its run directory once data and weights are checked. It is saved and stopped when this server ends.',
      { config: configFile, out: path('new run directory') },
      async ({ config: file, out }, call) =>
        begin(train(await places.config(file), { out: await places.path(out) }), call),
      true,
    ),
    tool(
      'resume_training',
      'Resume a stopped or interrupted run from its newest checkpoint.',
      { run: path('run directory') },
      async ({ run }, call) => {
        const resume = await places.path(run)
        return begin(train(await places.config(join(resume, RECORD)), { resume }), call)
      },
      true,
    ),
    tool(
      'command_run',
      'Send a live command to a running training; return the step at which it took effect.',
      {
        run: path('run directory'),
        command: z.enum(['pause', 'unpause', 'checkpoint', 'stop', 'setLearningRate']),
        value: z.number().positive().optional().describe('the learning rate'),
      },
      async ({ run, command, value }) => {
        const directory = await places.path(run)
        const remote = await connectRun(directory)
        if (remote === null)
          throw new UsageError(`${run}: no process trains this run`, {
            hint: 'describe_run returns its state; resume_training resumes it',
          })
        try {
          if (command !== 'setLearningRate') return { step: await remote[command]() }
          if (value === undefined)
            throw new UsageError('command_run: no value (expected a learning rate)', {
              hint: 'add the key value',
            })
          return { step: await remote.setLearningRate(value) }
        } finally {
          remote.close()
        }
      },
      true,
    ),
    tool(
      'predict',
      'Segment scans with a trained network; write one mask per scan.',
      {
        checkpoint: path('checkpoint file or run directory'),
        images: path('folder of scans'),
        out: path('folder for the masks'),
      },
      async ({ checkpoint, images, out }, { signal, progress }) => {
        const given = {
          checkpoint: await places.path(checkpoint),
          images: await places.data(images),
          out: await places.path(out),
        }
        return predict({ ...given, onCase: ({ done, total }) => progress(done, total) }, { signal })
      },
      true,
    ),
    tool(
      'evaluate',
      'Compare masks with labels of the same names; write figures and report.html.',
      {
        predictions: path('folder of masks'),
        labels: path('folder of labels'),
        out: path('folder for the figures'),
        region: z.enum(['abdomen', 'chest']).default('abdomen'),
        profile: z.enum(['voco', 'freetumor', 'difftumor', 'lesion']).default('freetumor'),
      },
      async ({ predictions, labels, out, region, profile }, { signal }) => {
        const given = {
          predictions: await places.data(predictions),
          labels: await places.data(labels),
          out: await places.path(out),
        }
        return evaluate({ ...given, region, profile }, { signal })
      },
      true,
    ),
    tool(
      'write_report',
      'Write report.html of a run, a demo, an evaluation or a synthetic data set again.',
      { path: path('folder') },
      async ({ path: named }) => ({ report: await writeReport(await places.path(named)) }),
      true,
    ),
  ]
}
