import type { Command } from 'commander'
import type { AddCommand } from '../program.js'

/** A command whose code is imported only when it runs: the import of all commands takes ten times as long as Node's start. */
interface ListedCommand {
  /** Name, options and arguments, as `freetumor --help` lists them. */
  readonly usage: string
  readonly description: string
  /** True if the command prints the options of all others. */
  readonly describesAll?: boolean
  readonly load: () => Promise<AddCommand>
}

/** The commands, in the order of `freetumor --help`. */
export const COMMANDS: readonly ListedCommand[] = [
  {
    usage: 'setup [options]',
    description: 'Install the pinned Python runtime, or adopt an existing Python',
    load: async () => (await import('./setup.js')).addSetupCommand,
  },
  {
    usage: 'doctor [options]',
    description: 'Check versions, devices, memory, ports, disk and an all-reduce of two ranks',
    load: async () => (await import('./doctor.js')).addDoctorCommand,
  },
  {
    usage: 'demo [options]',
    description: 'Run the whole method on synthetic phantoms, from data to report',
    load: async () => (await import('./demo.js')).addDemoCommand,
  },
  {
    usage: 'phantom [options]',
    description: 'Write synthetic phantoms with organs, confounders and tumors as a data set',
    load: async () => (await import('./phantom.js')).addPhantomCommand,
  },
  {
    usage: 'init [options]',
    description: 'Write a commented configuration for your own data',
    load: async () => (await import('./init.js')).addInitCommand,
  },
  {
    usage: 'config',
    description: 'Check, print and explain run configurations',
    load: async () => (await import('./config.js')).addConfigCommand,
  },
  {
    usage: 'data',
    description: 'List, check, convert, import, split and remap data',
    load: async () => (await import('./data.js')).addDataCommand,
  },
  {
    usage: 'organs [options]',
    description: 'Label the organs of scans, and merge given tumor labels',
    load: async () => (await import('./organs.js')).addOrgansCommand,
  },
  {
    usage: 'prepare [options]',
    description: 'Prepare the cases of a configuration; reuse valid cases of the cache',
    load: async () => (await import('./prepare.js')).addPrepareCommand,
  },
  {
    usage: 'simulate [options]',
    description: 'Simulate tumor positions and shapes in an organ, with a picture',
    load: async () => (await import('./simulate.js')).addSimulateCommand,
  },
  {
    usage: 'plan [options]',
    description: 'Print the command, environment, counts and estimates of a training; train nothing',
    load: async () => (await import('./plan.js')).addPlanCommand,
  },
  {
    usage: 'train [options]',
    description: 'Train a baseline, a tumor generator or a segmentor',
    load: async () => (await import('./train.js')).addTrainCommand,
  },
  {
    usage: 'launch [options] <script> [args...]',
    description: 'Run your own torchrun script, with logs per rank and failure cards',
    load: async () => (await import('./launch.js')).addLaunchCommand,
  },
  {
    usage: 'submit [options] <configs...>',
    description: 'Submit a training as a job of a cluster',
    load: async () => (await import('./submit.js')).addSubmitCommand,
  },
  {
    usage: 'runs',
    description: 'List, follow, pause and stop trainings',
    load: async () => (await import('./runs.js')).addRunsCommand,
  },
  {
    usage: 'studio [options] [dir...]',
    description: 'Show runs live and review synthetic tumors in a browser, until Ctrl-C',
    load: async () => (await import('./studio.js')).addStudioCommand,
  },
  {
    usage: 'synthesize [options]',
    description: 'Paint tumors into whole scans; write images, labels, change masks and a ledger',
    load: async () => (await import('./synthesize.js')).addSynthesizeCommand,
  },
  {
    usage: 'sweep [options] <ledger>',
    description: 'Compare thresholds and rules on the tumors of a ledger',
    load: async () => (await import('./sweep.js')).addSweepCommand,
  },
  {
    usage: 'reviews',
    description: 'Show the decisions of reviewers on synthetic tumors, and their agreement',
    load: async () => (await import('./reviews.js')).addReviewsCommand,
  },
  {
    usage: 'verify [options] <path>',
    description: 'Verify marks and signatures of synthetic scans; exit 3 unless all are authentic',
    load: async () => (await import('./verify.js')).addVerifyCommand,
  },
  {
    usage: 'card [options] <path>',
    description: 'Write a data card with Croissant, or a model card, from files',
    load: async () => (await import('./card.js')).addCardCommand,
  },
  {
    usage: 'key',
    description: 'Create, share, rotate and revoke the keys that sign synthetic data sets',
    load: async () => (await import('./key.js')).addKeyCommand,
  },
  {
    usage: 'readers',
    description: 'Run a reader study: can people distinguish real from synthetic tumors?',
    load: async () => (await import('./readers.js')).addReadersCommand,
  },
  {
    usage: 'predict [options]',
    description: 'Segment scans; a mask has the grid of its scan',
    load: async () => (await import('./predict.js')).addPredictCommand,
  },
  {
    usage: 'checkpoint',
    description: 'Inspect checkpoint files without running their code, and convert them',
    load: async () => (await import('./checkpoint.js')).addCheckpointCommand,
  },
  {
    usage: 'export [options] <path...>',
    description: 'Write a trained network, or a data set, in the format of another project',
    load: async () => (await import('./export.js')).addExportCommand,
  },
  {
    usage: 'plugin',
    description: 'Check programs that synthesize tumors or segment scans (docs/plugins.md)',
    load: async () => (await import('./plugin.js')).addPluginCommand,
  },
  {
    usage: 'evaluate [options]',
    description: 'Compare masks with labels of the same names, as a published evaluation',
    load: async () => (await import('./evaluate.js')).addEvaluateCommand,
  },
  {
    usage: 'calibrate [options]',
    description: 'Measure a segmentor on held-out tumors: for quality control, or an operating point',
    load: async () => (await import('./calibrate.js')).addCalibrateCommand,
  },
  {
    usage: 'hard-negatives [options]',
    description: 'List false positives in masks of healthy scans, for sampling.hardNegatives',
    load: async () => (await import('./hard-negatives.js')).addHardNegativesCommand,
  },
  {
    usage: 'realism [options] <synthetic> <real>',
    description: 'Compare synthetic with real tumors, and search for copies; exit 3 if a limit is exceeded',
    load: async () => (await import('./realism.js')).addRealismCommand,
  },
  {
    usage: 'merge [options] <path>',
    description: 'Merge the results of all shards; the files are those of a command without shards',
    load: async () => (await import('./merge.js')).addMergeCommand,
  },
  {
    usage: 'report [options] <run...>',
    description: 'Write report.html of runs, demos, evaluations or ledgers again, from their files',
    load: async () => (await import('./report.js')).addReportCommand,
  },
  {
    usage: 'mcp [options] [dir...]',
    description: 'Serve an agent by the Model Context Protocol on stdin and stdout',
    load: async () => (await import('./mcp.js')).addMcpCommand,
  },
  {
    usage: 'completion <shell>',
    description: 'Print a script that completes commands and options in a shell',
    describesAll: true,
    load: async () => (await import('./completion.js')).addCompletionCommand,
  },
]

/** Return all commands for a command line: complete if it names them, else as `freetumor --help` lists them. */
export function commandsFor(argv: readonly string[]): Promise<readonly AddCommand[]> {
  const [first, second] = argv.filter((word) => !word.startsWith('-'))
  const named = COMMANDS.find((listed) => nameOf(listed) === (first === 'help' ? second : first))
  // `--help --output json` without a command describes all of them
  const asData = argv.some((word) => /^--output(=|$)/.test(word))
  if (named?.describesAll || (named === undefined && asData)) return allCommands()
  return Promise.all(COMMANDS.map((listed) => (listed === named ? listed.load() : listedOnly(listed))))
}

/** Return all commands, complete. */
export async function allCommands(): Promise<readonly AddCommand[]> {
  const commands: AddCommand[] = []
  // one after the other: Node 20 can fail to link modules that several imports request at the same time
  for (const { load } of COMMANDS) commands.push(await load())
  return commands
}

function nameOf({ usage }: ListedCommand): string {
  return usage.split(' ', 1)[0]!
}

function listedOnly({ usage, description }: ListedCommand): AddCommand {
  return (program) => {
    const command: Command = program.command(usage.replace(' [options]', '')).description(description)
    if (usage.includes(' [options]')) command.option('--output <format>')
  }
}
