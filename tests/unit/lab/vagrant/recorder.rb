# Reads a Vagrantfile without Vagrant, and prints as JSON what it asks for each machine: [what, words, options] in order,
# `what` with the provider before it.
#   ruby recorder.rb VAGRANTFILE HOME
require "json"
require "pathname"

class Recorder
  def initialize(calls, provider = "") = (@calls, @provider = calls, provider)

  def define(name) = yield(Recorder.new(Vagrant::MACHINES[name] = []))
  def provider(name) = yield(Recorder.new(@calls, "#{name}."), Recorder.new(@calls, "#{name}."))
  def vm = self
  def ssh = self
  def box = @box

  def method_missing(name, *words, **options)
    @box = words.first if name == :box=
    @calls << ["#{@provider}#{name}", words, options]
  end

  def respond_to_missing?(*) = true
end

module Vagrant
  module Util
    module Env
      def self.with_original_env = yield
    end
  end

  MACHINES = {}
  def self.user_data_path = Pathname.new(ARGV[1])
  def self.configure(_version) = yield(Recorder.new([]))
end

load ARGV[0]
puts JSON.generate(Vagrant::MACHINES)
